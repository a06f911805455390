SELECT g.starts_n AS cohort, g.age, g.persons, coalesce(r.returned, 0) AS returned,
  CAST(coalesce(r.returned, 0) AS DOUBLE) / CAST(nullif(g.persons, 0) AS DOUBLE) AS retention,
  coalesce(sum(b.buyers) OVER (PARTITION BY g.cohort_n ORDER BY g.age ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 0) AS buyers,
  coalesce(sum(b.repeat_buyers) OVER (PARTITION BY g.cohort_n ORDER BY g.age ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 0)
    AS repeat_buyers
FROM (
  SELECT c.cohort_n, c.persons, s.starts_n, p.period_n - c.cohort_n AS age
  FROM (SELECT cohort_n, persons FROM x_cohort_cell WHERE period_n = cohort_n) AS c
  JOIN p_period AS s ON s.period_n = c.cohort_n
  JOIN p_period AS p ON p.period_n >= c.cohort_n
) AS g
LEFT JOIN (SELECT cohort_n, period_n - cohort_n AS age, persons AS returned FROM x_cohort_cell) AS r
  ON r.cohort_n = g.cohort_n AND r.age = g.age
LEFT JOIN (
  SELECT cohort_n, age, sum(CASE WHEN nth = 1 THEN persons ELSE 0 END) AS buyers,
    sum(CASE WHEN nth = 2 THEN persons ELSE 0 END) AS repeat_buyers
  FROM x_buy_cell
  GROUP BY cohort_n, age
) AS b ON b.cohort_n = g.cohort_n AND b.age = g.age

-- The periods of a person's first and second sale, counted from the period of the first inquiry.
SELECT b.person, b.cohort_n, b.nth, CASE WHEN b.period_n < b.cohort_n THEN 0 ELSE b.period_n - b.cohort_n END AS age
FROM (
  SELECT c.person, p.cohort_n, d.period_n,
    CAST(row_number() OVER (PARTITION BY c.person ORDER BY c.conv_n) AS BIGINT) AS nth
  FROM x_conv AS c
  JOIN (SELECT DISTINCT person, cohort_n FROM x_person_period) AS p ON p.person = c.person
  JOIN p_period_day AS d ON d.day_n = c.day_n
  WHERE c.type = 'won'
) AS b
WHERE b.nth <= 2

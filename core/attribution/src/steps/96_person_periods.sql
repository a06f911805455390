-- Periods in which a person inquired, and the one of the person's first inquiry.
SELECT person, period_n, min(period_n) OVER (PARTITION BY person) AS cohort_n
FROM (
  SELECT DISTINCT q.person, d.period_n
  FROM x_inquiry_n AS q
  JOIN p_period_day AS d ON d.day_n = q.day_n
  WHERE q.person IS NOT NULL
) AS p

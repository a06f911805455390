-- Persons by the period of their first inquiry who inquired in a period.
SELECT cohort_n, period_n, CAST(count(*) AS BIGINT) AS persons
FROM x_person_period
GROUP BY cohort_n, period_n

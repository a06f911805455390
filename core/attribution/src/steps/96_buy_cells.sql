-- Persons by the period of their first inquiry and the periods until their first and second sale.
SELECT cohort_n, age, nth, CAST(count(*) AS BIGINT) AS persons
FROM x_person_buy
GROUP BY cohort_n, age, nth

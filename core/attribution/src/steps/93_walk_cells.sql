-- Walks through steps of scenarios by the day they began.
SELECT scenario, step, step_no, day_n, CAST(count(*) AS BIGINT) AS entered, CAST(sum(passed) AS BIGINT) AS passed,
  CAST(sum(escalated) AS BIGINT) AS escalated, CAST(sum(fallbacks) AS BIGINT) AS fallbacks
FROM (
  SELECT scenario, step, step_no, passed, escalated, fallbacks,
    CAST(round(CAST(entered_us - ((entered_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n
  FROM x_walk
) AS w
GROUP BY scenario, step, step_no, day_n

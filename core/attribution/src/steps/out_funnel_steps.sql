SELECT scenario, step, day_n AS date, max(step_no) AS step_no, count(*) AS entered, sum(passed) AS passed,
  count(*) - sum(passed) AS dropped, sum(escalated) AS escalated, sum(fallbacks) AS fallbacks
FROM (
  SELECT scenario, step, step_no, passed, escalated, fallbacks,
    CAST(round(CAST(entered_us - ((entered_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n
  FROM x_walk
) AS w
GROUP BY scenario, step, day_n

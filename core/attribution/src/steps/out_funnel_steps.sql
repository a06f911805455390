SELECT scenario, step, day_n AS date, max(step_no) AS step_no, sum(entered) AS entered, sum(passed) AS passed,
  sum(entered) - sum(passed) AS dropped, sum(escalated) AS escalated, sum(fallbacks) AS fallbacks
FROM x_walk_cell
GROUP BY scenario, step, day_n

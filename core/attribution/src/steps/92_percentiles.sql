-- Percentiles by nearest rank: the smallest value that so many percent do not exceed.
SELECT day_n, platform, business_number,
  min(CASE WHEN what = 'first' AND reached * 100 >= answers * 50 THEN seconds END) AS p50_first,
  min(CASE WHEN what = 'first' AND reached * 100 >= answers * 90 THEN seconds END) AS p90_first,
  min(CASE WHEN what = 'first_open' AND reached * 100 >= answers * 50 THEN seconds END) AS p50_first_open,
  min(CASE WHEN what = 'first_open' AND reached * 100 >= answers * 90 THEN seconds END) AS p90_first_open,
  min(CASE WHEN what = 'turn' AND reached * 100 >= answers * 50 THEN seconds END) AS p50_turn,
  min(CASE WHEN what = 'turn' AND reached * 100 >= answers * 90 THEN seconds END) AS p90_turn,
  min(CASE WHEN what = 'turn_open' AND reached * 100 >= answers * 50 THEN seconds END) AS p50_turn_open,
  min(CASE WHEN what = 'turn_open' AND reached * 100 >= answers * 90 THEN seconds END) AS p90_turn_open
FROM (
  SELECT what, day_n, platform, business_number, seconds,
    sum(answers) OVER (PARTITION BY what, day_n, platform, business_number ORDER BY seconds
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS reached,
    sum(answers) OVER (PARTITION BY what, day_n, platform, business_number ORDER BY seconds
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS answers
  FROM x_answer_time
) AS t
GROUP BY day_n, platform, business_number

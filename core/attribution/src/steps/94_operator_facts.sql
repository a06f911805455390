-- The same with the messages operators sent and the hours in which they did.
SELECT day_n, operator_id, platform,
  CAST(sum(inquiries) AS BIGINT) AS inquiries, CAST(sum(answered) AS BIGINT) AS answered, CAST(sum(missed) AS BIGINT) AS missed,
  CAST(sum(transferred) AS BIGINT) AS transferred, CAST(sum(csat_sum) AS BIGINT) AS csat_sum, CAST(sum(csat_n) AS BIGINT) AS csat_n,
  CAST(sum(turns) AS BIGINT) AS turns, CAST(sum(response_s) AS BIGINT) AS response_s,
  CASE WHEN sum(turns_open) > 0 THEN CAST(sum(response_open_s) AS BIGINT) END AS response_open_s,
  CAST(sum(messages) AS BIGINT) AS messages, CAST(sum(hours) AS BIGINT) AS hours,
  CAST(sum(sales) AS BIGINT) AS sales, CAST(sum(net_minor) AS BIGINT) AS net_minor
FROM (
  SELECT day_n, operator_id, platform, inquiries, answered, missed, transferred, csat_sum, csat_n, turns, response_s,
    turns_open, response_open_s, CAST(0 AS BIGINT) AS messages, CAST(0 AS BIGINT) AS hours, sales, net_minor
  FROM x_operator_cell
  UNION ALL
  SELECT day_n, operator_id, platform, 0 AS inquiries, 0 AS answered, 0 AS missed, 0 AS transferred, 0 AS csat_sum,
    0 AS csat_n, 0 AS turns, 0 AS response_s, 0 AS turns_open, 0 AS response_open_s,
    CAST(sum(messages) AS BIGINT) AS messages, CAST(count(*) AS BIGINT) AS hours, 0 AS sales, 0 AS net_minor
  FROM (
    SELECT operator_id, platform, messages,
      CAST(round(CAST(hour_us - ((hour_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n
    FROM x_operator_hour
  ) AS h
  GROUP BY day_n, operator_id, platform
) AS u
GROUP BY day_n, operator_id, platform

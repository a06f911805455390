-- Turns by the day their inquiry began.
SELECT day_n, platform, business_number,
  CAST(count(*) AS BIGINT) AS turns,
  CAST(sum(response_s) AS BIGINT) AS response_s,
  CAST(sum(response_open_s) AS BIGINT) AS response_open_s,
  min(CASE WHEN response_rank * 100 >= turns * 50 THEN response_s END) AS p50,
  min(CASE WHEN response_rank * 100 >= turns * 90 THEN response_s END) AS p90,
  min(CASE WHEN open_rank * 100 >= opens * 50 THEN response_open_s END) AS p50_open,
  min(CASE WHEN open_rank * 100 >= opens * 90 THEN response_open_s END) AS p90_open
FROM (
  SELECT q.day_n, q.platform, q.business_number, r.response_s, r.response_open_s,
    CAST(count(*) OVER (PARTITION BY q.day_n, q.platform, q.business_number) AS BIGINT) AS turns,
    CAST(row_number() OVER (PARTITION BY q.day_n, q.platform, q.business_number
      ORDER BY r.response_s, r.inquiry_id, r.started_us) AS BIGINT) AS response_rank,
    CAST(count(r.response_open_s) OVER (PARTITION BY q.day_n, q.platform, q.business_number) AS BIGINT) AS opens,
    CASE WHEN r.response_open_s IS NOT NULL THEN CAST(row_number() OVER (PARTITION BY q.day_n, q.platform, q.business_number,
      CASE WHEN r.response_open_s IS NULL THEN 1 ELSE 0 END
      ORDER BY coalesce(r.response_open_s, 0), r.inquiry_id, r.started_us) AS BIGINT) END AS open_rank
  FROM x_response AS r
  JOIN x_inquiry_n AS q ON q.inquiry_id = r.inquiry_id
) AS t
GROUP BY day_n, platform, business_number

-- Turns by the day their inquiry began.
SELECT q.day_n, q.platform, q.business_number,
  CAST(count(*) AS BIGINT) AS turns,
  CAST(sum(r.response_s) AS BIGINT) AS response_s,
  CAST(count(r.response_open_s) AS BIGINT) AS turns_open,
  CAST(coalesce(sum(r.response_open_s), 0) AS BIGINT) AS response_open_s
FROM x_response AS r
JOIN x_inquiry_n AS q ON q.inquiry_id = r.inquiry_id
GROUP BY q.day_n, q.platform, q.business_number

-- How often an answer took how many seconds: the first one and any, on the clock and of working hours, by the day
-- the inquiry began.
SELECT what, day_n, platform, business_number, seconds, CAST(count(*) AS BIGINT) AS answers
FROM (
  SELECT 'first' AS what, day_n, platform, business_number, answer_s AS seconds
  FROM x_inquiry_n
  WHERE answer_s IS NOT NULL
  UNION ALL
  SELECT 'first_open' AS what, day_n, platform, business_number, answer_open_s AS seconds
  FROM x_inquiry_n
  WHERE answer_open_s IS NOT NULL
  UNION ALL
  SELECT 'turn' AS what, q.day_n, q.platform, q.business_number, r.response_s AS seconds
  FROM x_response AS r
  JOIN x_inquiry_n AS q ON q.inquiry_id = r.inquiry_id
  UNION ALL
  SELECT 'turn_open' AS what, q.day_n, q.platform, q.business_number, r.response_open_s AS seconds
  FROM x_response AS r
  JOIN x_inquiry_n AS q ON q.inquiry_id = r.inquiry_id
  WHERE r.response_open_s IS NOT NULL
) AS t
GROUP BY what, day_n, platform, business_number, seconds

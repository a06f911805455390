-- Inquiries by the day they began.
SELECT day_n, platform, business_number,
  CAST(count(*) AS BIGINT) AS inquiries,
  CAST(sum(CASE WHEN inquiry_number = 1 THEN 1 ELSE 0 END) AS BIGINT) AS is_new,
  CAST(sum(missed) AS BIGINT) AS missed,
  CAST(count(answer_s) AS BIGINT) AS answered,
  CAST(coalesce(sum(answer_s), 0) AS BIGINT) AS first_response_s,
  CAST(count(answer_open_s) AS BIGINT) AS answered_open,
  CAST(coalesce(sum(answer_open_s), 0) AS BIGINT) AS first_response_open_s,
  CAST(count(operator_s) AS BIGINT) AS operator_answered,
  CAST(coalesce(sum(operator_s), 0) AS BIGINT) AS first_operator_response_s,
  CAST(coalesce(sum(csat), 0) AS BIGINT) AS csat_sum,
  CAST(count(csat) AS BIGINT) AS csat_n,
  CAST(sum(CASE WHEN csat IN (4, 5) THEN 1 ELSE 0 END) AS BIGINT) AS csat_good,
  CAST(sum(has_feedback) AS BIGINT) AS feedback,
  CAST(sum(abandoned) AS BIGINT) AS abandoned,
  CAST(sum(with_bot) AS BIGINT) AS with_bot,
  CAST(sum(CASE WHEN with_bot = 1 AND resolved = 1 AND escalated = 0 THEN 1 ELSE 0 END) AS BIGINT) AS contained,
  CAST(sum(escalated) AS BIGINT) AS escalated,
  CAST(sum(transferred) AS BIGINT) AS transferred
FROM x_inquiry_n
GROUP BY day_n, platform, business_number

-- Inquiries by the day they began. Percentiles by nearest rank: the smallest value that so many percent do not
-- exceed.
SELECT q.day_n, q.platform, q.business_number,
  CAST(count(*) AS BIGINT) AS inquiries,
  CAST(sum(CASE WHEN q.inquiry_number = 1 THEN 1 ELSE 0 END) AS BIGINT) AS is_new,
  CAST(sum(q.missed) AS BIGINT) AS missed,
  CAST(sum(CASE WHEN q.answer_s IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS answered,
  CAST(coalesce(sum(q.answer_s), 0) AS BIGINT) AS first_response_s,
  CAST(sum(q.answer_open_s) AS BIGINT) AS first_response_open_s,
  CAST(sum(CASE WHEN q.operator_s IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS operator_answered,
  CAST(coalesce(sum(q.operator_s), 0) AS BIGINT) AS first_operator_response_s,
  min(CASE WHEN q.answer_rank * 100 >= q.answers * 50 THEN q.answer_s END) AS p50,
  min(CASE WHEN q.answer_rank * 100 >= q.answers * 90 THEN q.answer_s END) AS p90,
  min(CASE WHEN q.open_rank * 100 >= q.opens * 50 THEN q.answer_open_s END) AS p50_open,
  min(CASE WHEN q.open_rank * 100 >= q.opens * 90 THEN q.answer_open_s END) AS p90_open,
  CAST(coalesce(sum(q.csat), 0) AS BIGINT) AS csat_sum,
  CAST(sum(CASE WHEN q.csat IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS csat_n,
  CAST(sum(CASE WHEN q.csat IN (4, 5) THEN 1 ELSE 0 END) AS BIGINT) AS csat_good,
  CAST(sum(q.has_feedback) AS BIGINT) AS feedback,
  CAST(sum(q.abandoned) AS BIGINT) AS abandoned,
  CAST(sum(q.with_bot) AS BIGINT) AS with_bot,
  CAST(sum(CASE WHEN q.with_bot = 1 AND q.resolved = 1 AND q.escalated = 0 THEN 1 ELSE 0 END) AS BIGINT) AS contained,
  CAST(sum(q.escalated) AS BIGINT) AS escalated,
  CAST(sum(q.transferred) AS BIGINT) AS transferred
FROM (
  SELECT inquiry_id, day_n, platform, business_number, inquiry_number, missed, answer_s, answer_open_s, operator_s, csat,
    has_feedback, abandoned, with_bot, resolved, escalated, transferred,
    CASE WHEN answer_s IS NOT NULL THEN CAST(row_number() OVER (PARTITION BY day_n, platform, business_number,
      CASE WHEN answer_s IS NULL THEN 1 ELSE 0 END ORDER BY coalesce(answer_s, 0), inquiry_id) AS BIGINT) END AS answer_rank,
    CAST(count(answer_s) OVER (PARTITION BY day_n, platform, business_number) AS BIGINT) AS answers,
    CASE WHEN answer_open_s IS NOT NULL THEN CAST(row_number() OVER (PARTITION BY day_n, platform, business_number,
      CASE WHEN answer_open_s IS NULL THEN 1 ELSE 0 END ORDER BY coalesce(answer_open_s, 0), inquiry_id) AS BIGINT) END AS open_rank,
    CAST(count(answer_open_s) OVER (PARTITION BY day_n, platform, business_number) AS BIGINT) AS opens
  FROM x_inquiry_n
) AS q
GROUP BY q.day_n, q.platform, q.business_number

-- What operators did by day and messenger. An inquiry counts with who answered it first, else with who owns
-- its deal; a turn with who answered it; a sale with who owns the deal, in the messenger it grew from.
SELECT day_n, operator_id, platform, CAST(sum(records) AS BIGINT) AS records,
  CAST(sum(inquiries) AS BIGINT) AS inquiries, CAST(sum(answered) AS BIGINT) AS answered, CAST(sum(missed) AS BIGINT) AS missed,
  CAST(sum(transferred) AS BIGINT) AS transferred, CAST(sum(csat_sum) AS BIGINT) AS csat_sum, CAST(sum(csat_n) AS BIGINT) AS csat_n,
  CAST(sum(turns) AS BIGINT) AS turns, CAST(sum(response_s) AS BIGINT) AS response_s,
  CAST(sum(turns_open) AS BIGINT) AS turns_open, CAST(sum(response_open_s) AS BIGINT) AS response_open_s,
  CAST(sum(sales) AS BIGINT) AS sales, CAST(sum(net_minor) AS BIGINT) AS net_minor
FROM (
  SELECT q.day_n, coalesce(q.operator_id, d.operator_id, '(none)') AS operator_id, q.platform, count(*) AS records,
    count(*) AS inquiries, count(q.answer_s) AS answered, sum(q.missed) AS missed, sum(q.transferred) AS transferred,
    coalesce(sum(q.csat), 0) AS csat_sum, count(q.csat) AS csat_n, 0 AS turns, CAST(0 AS BIGINT) AS response_s,
    0 AS turns_open, CAST(0 AS BIGINT) AS response_open_s, 0 AS sales, CAST(0 AS BIGINT) AS net_minor
  FROM x_inquiry_n AS q
  LEFT JOIN x_inquiry_deal AS d ON d.inquiry_id = q.inquiry_id
  GROUP BY q.day_n, coalesce(q.operator_id, d.operator_id, '(none)'), q.platform
  UNION ALL
  SELECT q.day_n, coalesce(r.operator_id, '(none)') AS operator_id, q.platform, count(*) AS records,
    0 AS inquiries, 0 AS answered, 0 AS missed, 0 AS transferred, 0 AS csat_sum, 0 AS csat_n,
    count(*) AS turns, sum(r.response_s) AS response_s, count(r.response_open_s) AS turns_open,
    coalesce(sum(r.response_open_s), 0) AS response_open_s, 0 AS sales, CAST(0 AS BIGINT) AS net_minor
  FROM x_response AS r
  JOIN x_inquiry_n AS q ON q.inquiry_id = r.inquiry_id
  WHERE r.sender_kind = 'operator'
  GROUP BY q.day_n, coalesce(r.operator_id, '(none)'), q.platform
  UNION ALL
  SELECT c.day_n, coalesce(c.operator_id, '(none)') AS operator_id, coalesce(q.platform, '(none)') AS platform,
    count(*) AS records, 0 AS inquiries, 0 AS answered, 0 AS missed, 0 AS transferred, 0 AS csat_sum, 0 AS csat_n,
    0 AS turns, CAST(0 AS BIGINT) AS response_s, 0 AS turns_open, CAST(0 AS BIGINT) AS response_open_s,
    sum(CASE WHEN c.type = 'won' THEN 1 ELSE 0 END) AS sales, sum(c.net_minor) AS net_minor
  FROM x_reported AS c
  LEFT JOIN x_deal_inquiry AS i ON i.deal_id = c.deal_id
  LEFT JOIN x_inquiry AS q ON q.inquiry_id = i.inquiry_id
  WHERE c.type <> 'lead' AND c.type <> 'qualified'
  GROUP BY c.day_n, coalesce(c.operator_id, '(none)'), coalesce(q.platform, '(none)')
) AS u
GROUP BY day_n, operator_id, platform

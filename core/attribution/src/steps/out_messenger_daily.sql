SELECT s.day_n AS date, s.platform, s.business_number, s.sent, s.delivered, s.was_read AS read, s.failed, s.broadcasts,
  s.broadcasts_delivered, s.replied, s.inquiries, s.is_new AS new, s.inquiries - s.is_new AS repeat, s.missed, s.answered,
  s.first_response_s AS first_response_sum_s,
  CASE WHEN s.answered = 0 THEN NULL ELSE CAST(s.first_response_s AS DOUBLE) / CAST(s.answered AS DOUBLE) END AS avg_first_response_s,
  r.p50 AS p50_first_response_s, r.p90 AS p90_first_response_s, s.turns, s.response_s AS response_sum_s,
  s.csat_sum, s.csat_n, s.unsubscribes, s.with_bot AS bot, s.contained, s.escalated
FROM (
  SELECT day_n, platform, business_number, sum(sent) AS sent, sum(delivered) AS delivered, sum(was_read) AS was_read,
    sum(failed) AS failed, sum(broadcasts) AS broadcasts, sum(broadcasts_delivered) AS broadcasts_delivered,
    sum(replied) AS replied, sum(inquiries) AS inquiries, sum(is_new) AS is_new, sum(missed) AS missed,
    sum(answered) AS answered, sum(first_response_s) AS first_response_s, sum(turns) AS turns,
    sum(response_s) AS response_s, sum(csat_sum) AS csat_sum, sum(csat_n) AS csat_n, sum(unsubscribes) AS unsubscribes,
    sum(with_bot) AS with_bot, sum(contained) AS contained, sum(escalated) AS escalated
  FROM x_messenger_fact
  GROUP BY day_n, platform, business_number
) AS s
LEFT JOIN (
  -- Nearest rank: the smallest value that so many percent do not exceed.
  SELECT day_n, platform, business_number,
    min(CASE WHEN rn * 100 >= n * 50 THEN answer_s END) AS p50,
    min(CASE WHEN rn * 100 >= n * 90 THEN answer_s END) AS p90
  FROM (
    SELECT day_n, platform, business_number, answer_s,
      CAST(row_number() OVER (PARTITION BY day_n, platform, business_number ORDER BY answer_s, inquiry_id) AS BIGINT) AS rn,
      CAST(count(*) OVER (PARTITION BY day_n, platform, business_number) AS BIGINT) AS n
    FROM x_inquiry_n
    WHERE answer_s IS NOT NULL
  ) AS a
  GROUP BY day_n, platform, business_number
) AS r ON r.day_n = s.day_n AND r.platform = s.platform AND r.business_number = s.business_number

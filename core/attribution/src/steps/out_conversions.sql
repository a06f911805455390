SELECT c.conversion_id, c.day_n AS date, p.person_id, c.type, c.ts_us AS ts, c.status,
  c.gross_minor AS value_gross, c.net_minor AS value_net, c.original_minor AS value_original_minor, c.currency,
  c.is_new AS is_new_customer, c.deal_id AS crm_deal_id, i.inquiry_id, c.operator_id,
  coalesce(n.touches, 0) AS n_eligible_touches
FROM x_reported AS c
LEFT JOIN x_person AS p ON p.person = c.person
LEFT JOIN x_deal_inquiry AS i ON i.deal_id = c.deal_id
LEFT JOIN (SELECT conv_n, count(*) AS touches FROM x_path GROUP BY conv_n) AS n ON n.conv_n = c.conv_n

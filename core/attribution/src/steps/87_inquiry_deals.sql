-- The first deal that followed an inquiry, with its value where the rate of its day is known.
SELECT l.inquiry_id, d.deal_id, d.lead_id, d.status, d.operator_id, d.contact_id, d.tags,
  CASE
    WHEN d.value_minor = 0 THEN CAST(0 AS BIGINT)
    WHEN d.currency = $reporting THEN d.value_minor
    ELSE CAST(CAST(CAST(d.value_minor AS DECIMAL(16,0)) * f.rate AS DECIMAL(26,0)) AS BIGINT)
  END AS value_minor
FROM (
  SELECT inquiry_id, deal_id
  FROM (
    SELECT i.inquiry_id, i.deal_id, row_number() OVER (PARTITION BY i.inquiry_id ORDER BY d.created_us, d.deal_id) AS rn
    FROM x_deal_inquiry AS i
    JOIN x_deal AS d ON d.deal_id = i.deal_id
  ) AS r
  WHERE rn = 1
) AS l
JOIN (
  SELECT deal_id, lead_id, status, operator_id, contact_id, tags, value_minor,
    coalesce(upper(trim(currency)), $reporting) AS currency,
    CASE WHEN state = 'won' THEN closed_us ELSE created_us END AS value_us
  FROM x_deal
) AS d ON d.deal_id = l.deal_id
LEFT JOIN p_rate AS f ON f.currency = d.currency
  AND f.day_n = CAST(round(CAST(d.value_us - ((d.value_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT)

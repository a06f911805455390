-- One row per conversion, with the visit it grew from: that of its inquiry, else the person's last before it. The
-- session is the last part of ids of visits that came from Google Analytics.
SELECT id, type, at, client_id, session_id, transaction_id, value_minor, currency
FROM (
  SELECT c.conversion_id AS id, c.type, c.ts AS at, v.ga_client_id AS client_id,
    CASE WHEN starts_with(v.visit_id, 'ga4:') THEN reverse(split_part(reverse(v.visit_id), '.', 1)) END AS session_id,
    coalesce(c.crm_deal_id, c.conversion_id) AS transaction_id, c.value_original_minor AS value_minor, c.currency,
    row_number() OVER (
      PARTITION BY c.conversion_id
      ORDER BY CASE WHEN v.visit_id = i.visit_id THEN 0 ELSE 1 END, v.ts DESC, v.visit_id
    ) AS rn
  FROM conversions AS c
  LEFT JOIN inquiries AS i ON i.inquiry_id = c.inquiry_id
  LEFT JOIN visits AS v ON v.person_id = c.person_id AND v.ts <= c.ts AND v.ga_client_id IS NOT NULL
) AS found
WHERE rn = 1

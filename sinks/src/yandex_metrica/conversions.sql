-- One row per conversion, with the visit it grew from: that of its inquiry, else the person's last before it.
SELECT id, type, at, client_id, yclid, visit_at, price_minor, currency
FROM (
  SELECT c.conversion_id AS id, c.type, c.ts AS at, v.ym_client_id AS client_id, v.yclid, v.ts AS visit_at,
    CASE WHEN c.value_original_minor > 0 THEN c.value_original_minor END AS price_minor, c.currency,
    row_number() OVER (
      PARTITION BY c.conversion_id
      ORDER BY CASE WHEN v.visit_id = i.visit_id THEN 0 ELSE 1 END, v.ts DESC, v.visit_id
    ) AS rn
  FROM conversions AS c
  LEFT JOIN inquiries AS i ON i.inquiry_id = c.inquiry_id
  LEFT JOIN visits AS v ON v.person_id = c.person_id AND v.ts <= c.ts
    AND CASE WHEN $identifier = 'yclid' THEN v.yclid ELSE v.ym_client_id END IS NOT NULL
) AS found
WHERE rn = 1

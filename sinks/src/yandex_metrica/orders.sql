-- One row per deal: when it was made, what became of it, and by what Metrica can know its customer.
WITH deals AS (
  SELECT crm_deal_id AS id, min(ts) AS created_at, max(person_id) AS person_id,
    max(CASE WHEN type = 'won' THEN 1 ELSE 0 END) AS won,
    max(CASE WHEN type = 'won' THEN value_original_minor END) AS revenue_minor,
    max(CASE WHEN type = 'won' THEN currency END) AS currency
  FROM conversions
  WHERE crm_deal_id IS NOT NULL
  GROUP BY crm_deal_id
),
asked AS (
  SELECT crm_deal_id, max(email) AS email, max(phone_e164) AS phone, max(deal_status) AS deal_status
  FROM inquiries
  WHERE crm_deal_id IS NOT NULL
  GROUP BY crm_deal_id
),
browsers AS (
  SELECT id, client_id
  FROM (
    SELECT d.id, v.ym_client_id AS client_id, row_number() OVER (PARTITION BY d.id ORDER BY v.ts DESC, v.visit_id) AS rn
    FROM deals AS d
    JOIN visits AS v ON v.person_id = d.person_id AND v.ts <= d.created_at AND v.ym_client_id IS NOT NULL
  ) AS ranked
  WHERE rn = 1
)
SELECT d.id, d.created_at, d.person_id AS client_uniq_id, b.client_id AS client_ids, a.email AS emails, a.phone AS phones,
  CASE WHEN d.won = 1 THEN 'PAID' WHEN a.deal_status = 'lost' THEN 'CANCELLED' ELSE 'IN_PROGRESS' END AS order_status,
  d.revenue_minor, d.currency
FROM deals AS d
LEFT JOIN asked AS a ON a.crm_deal_id = d.id
LEFT JOIN browsers AS b ON b.id = d.id

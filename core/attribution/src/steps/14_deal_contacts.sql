-- The one contact a deal stands for: its main contact, else the first of its contacts.
SELECT deal_id, contact_id
FROM (
  SELECT deal_id, contact_id,
    row_number() OVER (PARTITION BY deal_id ORDER BY preference, contact_id) AS rn
  FROM (
    SELECT deal_id, contact_id, 0 AS preference FROM c_deals WHERE contact_id IS NOT NULL
    UNION ALL
    SELECT deal_id, contact_id, CASE WHEN is_main THEN 1 ELSE 2 END AS preference FROM c_deal_contacts
  ) AS c
) AS r
WHERE rn = 1

-- The CRM contact of the first deal that carries a token. A token that several people wrote with says
-- nothing about a contact.
SELECT token, contact_id
FROM (
  SELECT d.token, c.contact_id,
    row_number() OVER (PARTITION BY d.token ORDER BY d.created_at_us, d.deal_id) AS rn
  FROM c_deals AS d
  JOIN x_deal_contact AS c ON c.deal_id = d.deal_id
  LEFT JOIN (SELECT token FROM x_token_user WHERE contested = 1) AS u ON u.token = d.token
  WHERE d.token IS NOT NULL AND u.token IS NULL
) AS r
WHERE rn = 1

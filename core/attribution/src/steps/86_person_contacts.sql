-- The CRM contact that stands for a person: the first by id.
SELECT person, contact_id
FROM (
  SELECT i.person, c.contact_id, row_number() OVER (PARTITION BY i.person ORDER BY i.node) AS rn
  FROM x_id AS i
  JOIN c_contacts AS c ON c.contact_id = i.id_value
  WHERE i.id_type = 'crm_contact'
) AS r
WHERE rn = 1

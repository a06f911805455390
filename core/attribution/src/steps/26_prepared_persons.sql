-- Persons of prepared touches and conversions. Their names are kept; a name we gave ourselves in an
-- earlier run is that person.
SELECT p.person_id,
  coalesce(k.person, -CAST(row_number() OVER (ORDER BY p.person_id) AS BIGINT)) AS person,
  CASE WHEN k.person IS NULL THEN 1 ELSE 0 END AS is_own
FROM (
  SELECT person_id FROM c_touches
  UNION
  SELECT person_id FROM c_conversions
) AS p
LEFT JOIN x_known_person AS k ON k.person_id = p.person_id

-- Identifiers that were another person's in the epoch before.
SELECT i.node, i.id_type, i.id_value, v.person_id AS from_person_id, p.person_id AS into_person_id,
  CASE WHEN s.person_id IS NULL THEN 1 ELSE 0 END AS is_merge
FROM c_previous_identity AS v
JOIN x_id AS i ON i.id_type = v.id_type AND i.id_value = v.id_value
JOIN x_person AS p ON p.person = i.person
LEFT JOIN x_person AS s ON s.person_id = v.person_id
WHERE v.person_id <> p.person_id

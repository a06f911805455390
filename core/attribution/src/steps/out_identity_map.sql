SELECT i.id_type, i.id_value, p.person_id, CAST(NULL AS BIGINT) AS valid_from, CAST(NULL AS BIGINT) AS valid_to, i.is_shared
FROM x_id AS i
LEFT JOIN x_person AS p ON p.person = i.person
UNION ALL
SELECT b.id_type, b.id_value, p.person_id, b.valid_from_us AS valid_from, b.valid_to_us AS valid_to, false AS is_shared
FROM (SELECT DISTINCT id_type, id_value, person, valid_from_us, valid_to_us FROM x_bound) AS b
LEFT JOIN x_person AS p ON p.person = b.person

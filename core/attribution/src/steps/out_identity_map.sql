SELECT i.id_type, i.id_value, p.person_id, coalesce(e.evidence, 'its own record') AS source,
  CAST(NULL AS BIGINT) AS valid_from, CAST(NULL AS BIGINT) AS valid_to, i.is_shared
FROM x_id AS i
LEFT JOIN x_person AS p ON p.person = i.person
LEFT JOIN (
  SELECT node, min(evidence) AS evidence
  FROM (
    SELECT a AS node, evidence FROM x_edge
    UNION ALL
    SELECT b AS node, evidence FROM x_edge
  ) AS ends
  GROUP BY node
) AS e ON e.node = i.node
UNION ALL
SELECT b.id_type, b.id_value, p.person_id, 'identity_edges' AS source, b.valid_from_us AS valid_from,
  b.valid_to_us AS valid_to, false AS is_shared
FROM (SELECT DISTINCT id_type, id_value, person, valid_from_us, valid_to_us FROM x_bound) AS b
LEFT JOIN x_person AS p ON p.person = b.person

-- What joined a person of the epoch before to somebody else: of the edges that lead out of what was that
-- person to the rest of what it is now, the one between the strongest identifiers.
SELECT from_person_id, reason
FROM (
  SELECT from_person_id, reason,
    row_number() OVER (PARTITION BY from_person_id ORDER BY low, high, reason) AS rn
  FROM (
    SELECT m.from_person_id,
      e.low, e.high,
      a.id_type || ':' || a.id_value || ' = ' || b.id_type || ':' || b.id_value || ' (' || e.evidence || ')' AS reason
    FROM (
      SELECT v.person_id AS from_person_id, i.node
      FROM c_previous_identity AS v
      JOIN (SELECT DISTINCT from_person_id FROM x_identity_change) AS c ON c.from_person_id = v.person_id
      JOIN x_id AS i ON i.id_type = v.id_type AND i.id_value = v.id_value
    ) AS m
    JOIN (
      SELECT a AS inside, b AS outside, CASE WHEN a < b THEN a ELSE b END AS low, CASE WHEN a < b THEN b ELSE a END AS high,
        evidence
      FROM x_edge
      UNION ALL
      SELECT b AS inside, a AS outside, CASE WHEN a < b THEN a ELSE b END AS low, CASE WHEN a < b THEN b ELSE a END AS high,
        evidence
      FROM x_edge
    ) AS e ON e.inside = m.node
    JOIN x_id AS a ON a.node = e.low
    JOIN x_id AS b ON b.node = e.high
    JOIN x_id AS o ON o.node = e.outside
    LEFT JOIN c_previous_identity AS w ON w.id_type = o.id_type AND w.id_value = o.id_value
    WHERE a.person = b.person AND NOT a.is_shared AND NOT b.is_shared
      AND (w.person_id IS NULL OR w.person_id <> m.from_person_id)
  ) AS c
) AS r
WHERE rn = 1

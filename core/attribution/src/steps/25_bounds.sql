-- Identifiers that belong to somebody for a time only. Of the two the weaker kind (a browser, a phone)
-- belongs to the stronger one.
SELECT
  CASE WHEN a.node < b.node THEN b.id_type ELSE a.id_type END AS id_type,
  CASE WHEN a.node < b.node THEN b.id_value ELSE a.id_value END AS id_value,
  CASE WHEN a.node < b.node THEN a.person ELSE b.person END AS person,
  coalesce(e.valid_from_us, -9000000000000000000) AS from_us,
  coalesce(e.valid_to_us, 9000000000000000000) AS to_us,
  e.valid_from_us,
  e.valid_to_us
FROM c_identity_edges AS e
JOIN x_id AS a ON a.id_type = e.left_type
  AND a.id_value = CASE WHEN e.left_type = 'email' THEN lower(trim(e.left_value)) ELSE e.left_value END
JOIN x_id AS b ON b.id_type = e.right_type
  AND b.id_value = CASE WHEN e.right_type = 'email' THEN lower(trim(e.right_value)) ELSE e.right_value END
WHERE (e.valid_from_us IS NOT NULL OR e.valid_to_us IS NOT NULL) AND a.node <> b.node

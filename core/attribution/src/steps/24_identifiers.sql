-- Every identifier with its person.
SELECT n.node, n.rank, n.id_type, n.id_value, l.person, l.is_shared
FROM x_node AS n
JOIN x_label AS l ON l.node = n.node

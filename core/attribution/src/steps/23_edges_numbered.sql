SELECT a.node AS a, b.node AS b, a.rank AS a_rank, b.rank AS b_rank, e.evidence
FROM x_edge_text AS e
JOIN x_node AS a ON a.id_type = e.l_type AND a.id_value = e.l_value
JOIN x_node AS b ON b.id_type = e.r_type AND b.id_value = e.r_value
WHERE a.node <> b.node

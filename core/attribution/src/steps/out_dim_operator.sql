SELECT i.operator_id, o.name, o.team, o.crm_user_id
FROM (
  SELECT operator_id FROM c_operators
  UNION
  SELECT operator_id FROM x_operator_seen
) AS i
LEFT JOIN c_operators AS o ON o.operator_id = i.operator_id

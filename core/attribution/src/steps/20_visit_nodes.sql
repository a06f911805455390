-- Visits that something else than their browser ties to somebody. All others follow their browser and
-- need no place in the graph.
SELECT v.visit_id FROM x_token_visit AS v JOIN x_token_user AS u ON u.token = v.token
UNION
SELECT v.visit_id FROM x_token_visit AS v JOIN x_token_contact AS c ON c.token = v.token
UNION
SELECT left_value AS visit_id FROM c_identity_edges WHERE left_type = 'visit'
UNION
SELECT right_value AS visit_id FROM c_identity_edges WHERE right_type = 'visit'

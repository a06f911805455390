-- A visit token and its visit. A token that was seen on two visits belongs to neither.
SELECT token, visit_id FROM x_token_seen WHERE visits = 1 AND is_visit = 1
UNION ALL
SELECT t.token, t.visit_id
FROM x_token_seen AS t
JOIN c_visits AS v ON v.visit_id = t.visit_id
WHERE t.visits = 1 AND t.is_visit = 0

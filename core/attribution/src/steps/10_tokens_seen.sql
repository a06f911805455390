-- On how many visits a token was seen, and the only one where it is one. What hits alone say of a visit still
-- has to be found among the visits.
SELECT token, min(visit_id) AS visit_id, max(is_visit) AS is_visit, CAST(count(*) AS BIGINT) AS visits
FROM (
  SELECT token, visit_id, max(is_visit) AS is_visit
  FROM (
    SELECT u.token, v.visit_id, 1 AS is_visit
    FROM c_visits AS v JOIN x_token_used AS u ON u.token = v.token
    UNION ALL
    SELECT u.token, h.visit_id, 0 AS is_visit
    FROM c_hits AS h JOIN x_token_used AS u ON u.token = h.token
    WHERE h.visit_id IS NOT NULL
  ) AS seen
  GROUP BY token, visit_id
) AS t
GROUP BY token

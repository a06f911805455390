-- A visit token and its visit. A token that was seen on two visits belongs to neither.
SELECT t.token, v.visit_id, v.started_at_us AS ts_us
FROM (
  SELECT token, min(visit_id) AS visit_id
  FROM (
    SELECT token, visit_id FROM c_visits WHERE token IS NOT NULL
    UNION
    SELECT token, visit_id FROM c_hits WHERE token IS NOT NULL AND visit_id IS NOT NULL
  ) AS seen
  GROUP BY token
  HAVING count(*) = 1
) AS t
JOIN c_visits AS v ON v.visit_id = t.visit_id

-- Visits of a browser while it was somebody's.
SELECT visit_id, person
FROM (
  SELECT visit_id, person, row_number() OVER (PARTITION BY visit_id ORDER BY strength, from_us DESC, person) AS rn
  FROM (
    SELECT v.visit_id, b.person, b.from_us, 0 AS strength
    FROM c_visits AS v
    JOIN x_bound AS b ON b.id_type = 'visit' AND b.id_value = v.visit_id
    WHERE v.started_at_us >= b.from_us AND v.started_at_us < b.to_us
    UNION ALL
    SELECT v.visit_id, b.person, b.from_us, 1 AS strength
    FROM c_visits AS v
    JOIN x_bound AS b ON b.id_type = 'ym_client' AND b.id_value = v.ym_client_id
    WHERE v.started_at_us >= b.from_us AND v.started_at_us < b.to_us
    UNION ALL
    SELECT v.visit_id, b.person, b.from_us, 2 AS strength
    FROM c_visits AS v
    JOIN x_bound AS b ON b.id_type = 'ga_client' AND b.id_value = v.ga_client_id
    WHERE v.started_at_us >= b.from_us AND v.started_at_us < b.to_us
  ) AS c
) AS r
WHERE rn = 1

SELECT p.person_id, e.first_us AS first_seen, e.last_us AS last_seen,
  CASE WHEN coalesce(s.n_sales, 0) > 0 THEN true ELSE false END AS is_customer,
  coalesce(r.region, k.region) AS region,
  o.action AS consent_state, o.ts_us AS consent_ts,
  coalesce(q.n_inquiries, 0) AS n_inquiries, coalesce(s.n_sales, 0) AS n_sales, coalesce(s.net_minor, 0) AS ltv
FROM (
  SELECT person, min(ts_us) AS first_us, max(ts_us) AS last_us
  FROM (
    SELECT person, ts_us FROM x_touch
    UNION ALL
    SELECT i.person, m.ts_us
    FROM x_message AS m
    JOIN x_message_person AS i ON i.platform = m.platform AND i.message_id = m.message_id
    UNION ALL
    SELECT person, ts_us FROM x_conv
  ) AS a
  WHERE person IS NOT NULL
  GROUP BY person
) AS e
JOIN x_person AS p ON p.person = e.person
LEFT JOIN (
  SELECT person, count(*) AS n_sales, sum(net_minor) AS net_minor FROM x_conv WHERE type = 'won' GROUP BY person
) AS s ON s.person = e.person
LEFT JOIN (SELECT person, count(*) AS n_inquiries FROM x_inquiry GROUP BY person) AS q ON q.person = e.person
LEFT JOIN (
  SELECT person, region
  FROM (
    SELECT t.person, v.region, row_number() OVER (PARTITION BY t.person ORDER BY t.touch_n DESC) AS rn
    FROM x_touch AS t
    JOIN x_visit AS v ON v.visit_id = t.visit_id
    WHERE v.region IS NOT NULL
  ) AS l
  WHERE rn = 1
) AS r ON r.person = e.person
LEFT JOIN (
  SELECT pc.person, c.region FROM x_person_contact AS pc JOIN c_contacts AS c ON c.contact_id = pc.contact_id
) AS k ON k.person = e.person
LEFT JOIN (
  SELECT person, action, ts_us
  FROM (
    SELECT i.person, c.action, c.ts_us, row_number() OVER (PARTITION BY i.person ORDER BY c.ts_us DESC, c.action DESC) AS rn
    FROM c_consents AS c
    JOIN x_id AS i ON i.id_type = c.user_type AND i.id_value = c.user_id
  ) AS l
  WHERE rn = 1
) AS o ON o.person = e.person

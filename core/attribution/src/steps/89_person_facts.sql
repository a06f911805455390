-- Everybody a fact names, with what segments are told by.
SELECT e.person, e.first_us, e.last_us,
  coalesce(r.region, k.region) AS region,
  o.action AS consent_state, o.ts_us AS consent_us,
  coalesce(q.n_inquiries, 0) AS n_inquiries, coalesce(s.n_sales, 0) AS n_sales, coalesce(s.net_minor, 0) AS ltv_minor
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
LEFT JOIN (
  SELECT person, count(*) AS n_sales, sum(net_minor) AS net_minor FROM x_conv WHERE type = 'won' GROUP BY person
) AS s ON s.person = e.person
LEFT JOIN (SELECT person, count(*) AS n_inquiries FROM x_inquiry GROUP BY person) AS q ON q.person = e.person
LEFT JOIN (
  -- Where the last visit came from that tells it.
  SELECT l.person, t.region
  FROM (SELECT person, max(touch_n) AS touch_n FROM x_touch WHERE region IS NOT NULL GROUP BY person) AS l
  JOIN x_touch AS t ON t.touch_n = l.touch_n
) AS r ON r.person = e.person
LEFT JOIN (
  SELECT pc.person, c.region FROM x_person_contact AS pc JOIN c_contacts AS c ON c.contact_id = pc.contact_id
) AS k ON k.person = e.person
LEFT JOIN (
  SELECT person, action, ts_us
  FROM (
    SELECT person, action, ts_us,
      row_number() OVER (PARTITION BY person ORDER BY ts_us DESC, action DESC) AS rn
    FROM x_consent
  ) AS l
  WHERE rn = 1
) AS o ON o.person = e.person

-- The person behind a conversation's user, at the time of the message.
SELECT m.platform, m.message_id, coalesce(b.person, i.person) AS person
FROM x_message AS m
LEFT JOIN x_id AS i ON i.id_type = m.user_type AND i.id_value = m.user_value
LEFT JOIN (
  SELECT platform, message_id, person
  FROM (
    SELECT m.platform, m.message_id, b.person,
      row_number() OVER (PARTITION BY m.platform, m.message_id ORDER BY b.from_us DESC, b.person) AS rn
    FROM x_message AS m
    JOIN x_bound AS b ON b.id_type = m.user_type AND b.id_value = m.user_value
    WHERE m.ts_us >= b.from_us AND m.ts_us < b.to_us
  ) AS c
  WHERE rn = 1
) AS b ON b.platform = m.platform AND b.message_id = m.message_id

-- Recipients of every variant of a test and what they did. Who was converted did so within the target window
-- after the first message of the test that reached him.
SELECT test, variant, CAST(count(*) AS BIGINT) AS recipients, CAST(sum(delivered) AS BIGINT) AS delivered,
  CAST(sum(was_read) AS BIGINT) AS was_read, CAST(sum(clicked) AS BIGINT) AS clicked, CAST(sum(replied) AS BIGINT) AS replied,
  CAST(sum(converted) AS BIGINT) AS converted
FROM (
  SELECT u.test, u.variant, u.platform, u.user_value, u.delivered, u.was_read, u.clicked, u.replied,
    max(CASE WHEN t.ts_us >= u.reached_us AND t.ts_us <= u.reached_us + $target_us THEN 1 ELSE 0 END) AS converted
  FROM (
    SELECT coalesce(m.ab_test, m.template_id, '(none)') AS test, m.ab_variant AS variant, m.platform,
      coalesce(m.user_value, m.conversation_id) AS user_value,
      max(CASE WHEN m.delivered_us IS NULL THEN 0 ELSE 1 END) AS delivered,
      max(CASE WHEN m.read_us IS NULL THEN 0 ELSE 1 END) AS was_read,
      max(CASE WHEN m.clicked_us IS NULL THEN 0 ELSE 1 END) AS clicked,
      max(CASE WHEN a.message_id IS NULL THEN 0 ELSE 1 END) AS replied,
      min(CASE WHEN d.platform IS NULL THEN m.sent_us ELSE m.delivered_us END) AS reached_us,
      min(p.person) AS person
    FROM x_message AS m
    JOIN x_message_person AS p ON p.platform = m.platform AND p.message_id = m.message_id
    LEFT JOIN x_reply AS a ON a.platform = m.platform AND a.message_id = m.message_id
    LEFT JOIN x_delivering AS d ON d.platform = m.platform
    WHERE m.direction = 'out' AND m.counts = 1 AND m.ab_variant IS NOT NULL AND m.failed_us IS NULL
    GROUP BY coalesce(m.ab_test, m.template_id, '(none)'), m.ab_variant, m.platform,
      coalesce(m.user_value, m.conversation_id)
  ) AS u
  LEFT JOIN x_target AS t ON t.person = u.person
  GROUP BY u.test, u.variant, u.platform, u.user_value, u.delivered, u.was_read, u.clicked, u.replied
) AS r
GROUP BY test, variant

-- Messages of an operator in a messenger by clock hour.
SELECT operator_id, platform, hour_us, CAST(count(*) AS BIGINT) AS messages
FROM (
  SELECT coalesce(operator_id, '(none)') AS operator_id, platform,
    sent_us - ((sent_us % 3600000000) + 3600000000) % 3600000000 AS hour_us
  FROM x_message
  WHERE direction = 'out' AND counts = 1 AND sender_kind = 'operator'
) AS m
GROUP BY operator_id, platform, hour_us

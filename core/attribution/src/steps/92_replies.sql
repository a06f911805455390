-- Outgoing messages of campaigns and tests that the customer answered within the response window.
SELECT DISTINCT b.platform, b.message_id
FROM x_message AS b
JOIN x_message AS r ON r.platform = b.platform AND r.conversation_id = b.conversation_id
WHERE b.direction = 'out' AND b.counts = 1 AND (b.sender_kind = 'broadcast' OR b.ab_variant IS NOT NULL)
  AND r.direction = 'in' AND r.counts = 1 AND r.is_unsubscribe = 0
  AND r.ts_us >= b.sent_us AND r.ts_us <= b.sent_us + $response_us

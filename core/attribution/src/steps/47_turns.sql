-- A turn: from the first customer message that waits for an answer to the next answer.
SELECT inquiry_id, platform, started_us, answered_us, answer_id
FROM (
  SELECT inquiry_id, turn,
    max(platform) AS platform,
    min(CASE WHEN direction = 'in' THEN ts_us END) AS started_us,
    min(CASE WHEN direction = 'out' THEN ts_us END) AS answered_us,
    min(CASE WHEN direction = 'out' THEN message_id END) AS answer_id
  FROM (
    SELECT q.inquiry_id, s.platform, s.message_id, s.direction, s.ts_us,
      -- Counted through all conversations: within an inquiry the count changes where a turn ends.
      coalesce(sum(CASE WHEN s.direction = 'out' THEN 1 ELSE 0 END) OVER (ORDER BY s.rn
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS turn
    FROM x_session AS s
    JOIN x_message_inquiry AS q ON q.platform = s.platform AND q.message_id = s.message_id
    WHERE s.sender_kind <> 'broadcast' AND s.is_unsubscribe = 0
  ) AS t
  GROUP BY inquiry_id, turn
) AS g
WHERE started_us IS NOT NULL AND answered_us IS NOT NULL

-- Messages in the order of their conversations, cut into sessions where neither side wrote for the inquiry gap. One
-- line through all of them: a window for each of many short conversations takes many times as long.
SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe, rn,
  CAST(sum(is_start) OVER (ORDER BY rn ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS BIGINT) AS session
FROM (
  SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe, rn,
    CASE
      WHEN before_platform = platform AND before_conversation = conversation_id AND ts_us - before_us < $gap_us THEN 0
      ELSE 1
    END AS is_start
  FROM (
    SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe,
      CAST(row_number() OVER (ORDER BY platform, conversation_id, ts_us, direction, message_id) AS BIGINT) AS rn,
      lag(platform) OVER (ORDER BY platform, conversation_id, ts_us, direction, message_id) AS before_platform,
      lag(conversation_id) OVER (ORDER BY platform, conversation_id, ts_us, direction, message_id) AS before_conversation,
      lag(ts_us) OVER (ORDER BY platform, conversation_id, ts_us, direction, message_id) AS before_us
    FROM x_message
    WHERE counts = 1
  ) AS a
) AS b

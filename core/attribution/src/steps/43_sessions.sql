-- Messages of a conversation in order, cut where neither side wrote for the inquiry gap. The first
-- customer message of a session that is more than an unsubscribe word opens its inquiry; what stands
-- before it (a broadcast it answers) belongs to none.
SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe, rn,
  opener_rn,
  max(CASE WHEN rn = opener_rn THEN platform || ':' || message_id END)
    OVER (PARTITION BY platform, conversation_id, session) AS session_inquiry
FROM (
  SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe, rn, session,
    min(CASE WHEN direction = 'in' AND is_unsubscribe = 0 THEN rn END)
      OVER (PARTITION BY platform, conversation_id, session) AS opener_rn
  FROM (
    SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe, rn,
      sum(is_start) OVER (PARTITION BY platform, conversation_id ORDER BY rn
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS session
    FROM (
      SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe, rn,
        CASE WHEN previous_us IS NULL OR ts_us - previous_us >= $gap_us THEN 1 ELSE 0 END AS is_start
      FROM (
        SELECT platform, message_id, conversation_id, ts_us, direction, sender_kind, is_unsubscribe,
          CAST(row_number() OVER (PARTITION BY platform, conversation_id
            ORDER BY ts_us, direction, message_id) AS BIGINT) AS rn,
          lag(ts_us) OVER (PARTITION BY platform, conversation_id
            ORDER BY ts_us, direction, message_id) AS previous_us
        FROM x_message
        WHERE counts = 1
      ) AS a
    ) AS b
  ) AS c
) AS d

-- Turns with who answered, and the seconds it took: on the clock, and of working hours. p_work cuts time
-- into pieces, none across a UTC midnight, with the open time before each; so the open time between two
-- instants is a difference of two sums. Without working hours it is empty and those seconds are null.
SELECT t.inquiry_id, t.started_us, t.answered_us, t.sender_kind, t.operator_id,
  CAST(round(CAST(t.answered_us - t.started_us - (t.answered_us - t.started_us) % 1000000 AS DOUBLE) / CAST(1000000 AS DOUBLE)) AS BIGINT) AS response_s,
  CAST(round(CAST(t.answered_open_us - t.started_open_us - (t.answered_open_us - t.started_open_us) % 1000000 AS DOUBLE) / CAST(1000000 AS DOUBLE)) AS BIGINT) AS response_open_s
FROM (
  SELECT r.inquiry_id, r.started_us, r.answered_us, r.sender_kind, r.operator_id,
    a.before_us + CASE WHEN a.is_open = 1 THEN r.started_us - a.begin_us ELSE 0 END AS started_open_us,
    b.before_us + CASE WHEN b.is_open = 1 THEN r.answered_us - b.begin_us ELSE 0 END AS answered_open_us
  FROM (
    SELECT t.inquiry_id, t.started_us, t.answered_us, m.sender_kind, m.operator_id,
      CAST(round(CAST(t.started_us - ((t.started_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS started_day,
      CAST(round(CAST(t.answered_us - ((t.answered_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS answered_day
    FROM x_turn AS t
    JOIN x_message AS m ON m.platform = t.platform AND m.message_id = t.answer_id
  ) AS r
  LEFT JOIN p_work AS a ON a.day_n = r.started_day AND r.started_us >= a.begin_us AND r.started_us < a.end_us
  LEFT JOIN p_work AS b ON b.day_n = r.answered_day AND r.answered_us >= b.begin_us AND r.answered_us < b.end_us
) AS t

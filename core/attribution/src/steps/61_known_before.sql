-- The last touch in the look-back of people whose inquiry says nothing itself.
SELECT inquiry_id, max(touch_n) AS touch_n
FROM (
  SELECT q.inquiry_id, t.touch_n
  FROM x_direct_match AS q
  JOIN x_touch AS t ON t.person = q.person
  WHERE q.match_method IS NULL AND t.ts_us >= q.ts_us - $lookback_us AND t.ts_us <= q.ts_us
) AS c
GROUP BY inquiry_id

-- The touches a conversion sees, in order.
SELECT c.conv_n, t.touch_n, t.ts_us, t.channel_n,
  CAST(row_number() OVER (PARTITION BY c.conv_n ORDER BY t.touch_n) AS BIGINT) AS pos
FROM x_reported AS c
JOIN x_touch AS t ON t.person = c.person
WHERE t.ts_us >= c.from_us AND t.ts_us <= c.ts_us AND t.ts_us > c.after_us

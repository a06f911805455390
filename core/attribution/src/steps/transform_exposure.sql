-- Consecutive touches of one channel: the first stays.
SELECT conv_n, touch_n, ts_us, channel_n,
  CAST(row_number() OVER (PARTITION BY conv_n ORDER BY pos) AS BIGINT) AS pos
FROM (
  SELECT conv_n, touch_n, ts_us, channel_n, pos, lag(channel_n) OVER (PARTITION BY conv_n ORDER BY pos) AS before
  FROM x_path
) AS p
WHERE before IS NULL OR before <> channel_n

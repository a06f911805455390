-- One channel's touches go, unless nothing would be left.
SELECT conv_n, touch_n, ts_us, channel_n,
  CAST(row_number() OVER (PARTITION BY conv_n ORDER BY pos) AS BIGINT) AS pos
FROM (
  SELECT conv_n, touch_n, ts_us, channel_n, pos,
    sum(CASE WHEN channel_n = $channel_n THEN 0 ELSE 1 END) OVER (PARTITION BY conv_n) AS others
  FROM x_path
) AS p
WHERE others = 0 OR channel_n <> $channel_n

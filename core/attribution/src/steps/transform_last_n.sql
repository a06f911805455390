-- The last touches stay.
SELECT conv_n, touch_n, ts_us, channel_n,
  CAST(row_number() OVER (PARTITION BY conv_n ORDER BY pos) AS BIGINT) AS pos
FROM (
  SELECT conv_n, touch_n, ts_us, channel_n, pos, count(*) OVER (PARTITION BY conv_n) AS n
  FROM x_path
) AS p
WHERE pos > n - $keep

-- Each channel's first touch stays.
SELECT conv_n, touch_n, ts_us, channel_n,
  CAST(row_number() OVER (PARTITION BY conv_n ORDER BY pos) AS BIGINT) AS pos
FROM (
  SELECT conv_n, touch_n, ts_us, channel_n, pos,
    row_number() OVER (PARTITION BY conv_n, channel_n ORDER BY pos) AS occurrence
  FROM x_path
) AS p
WHERE occurrence = 1

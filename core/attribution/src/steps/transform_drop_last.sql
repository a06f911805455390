-- One channel's touches at the end of the path go, unless nothing would be left.
SELECT conv_n, touch_n, ts_us, channel_n,
  CAST(row_number() OVER (PARTITION BY conv_n ORDER BY pos) AS BIGINT) AS pos
FROM (
  SELECT conv_n, touch_n, ts_us, channel_n, pos,
    max(CASE WHEN channel_n = $channel_n THEN NULL ELSE pos END) OVER (PARTITION BY conv_n) AS last_other
  FROM x_path
) AS p
WHERE last_other IS NULL OR pos <= last_other

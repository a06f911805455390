-- The same in the reporting currency, for the conversions that are reported. A sale whose goods' cost nobody
-- told has the share of its net that the settings assume.
SELECT conv_n, CAST(sum(goods_minor) AS BIGINT) AS goods_minor, CAST(sum(potential_minor) AS BIGINT) AS potential_minor
FROM (
  SELECT r.conv_n,
    CASE WHEN r.kind = 'goods' THEN r.reported_minor ELSE 0 END AS goods_minor,
    CASE WHEN r.kind = 'potential' THEN r.reported_minor ELSE 0 END AS potential_minor
  FROM (
    SELECT e.conv_n, e.kind,
      CASE
        WHEN e.value_minor = 0 THEN CAST(0 AS BIGINT)
        WHEN e.currency = $reporting THEN e.value_minor
        ELSE CAST(CAST(CAST(e.value_minor AS DECIMAL(16,0)) * f.rate AS DECIMAL(26,0)) AS BIGINT)
      END AS reported_minor
    FROM x_extra_raw AS e
    JOIN x_reported AS c ON c.conv_n = e.conv_n
    LEFT JOIN p_rate AS f ON f.currency = e.currency AND f.day_n = e.day_n
  ) AS r
  UNION ALL
  SELECT c.conv_n,
    CAST(round(CAST(c.net_minor AS DOUBLE) * CAST($goods_millionths AS DOUBLE) / CAST(1000000 AS DOUBLE)) AS BIGINT) AS goods_minor,
    CAST(0 AS BIGINT) AS potential_minor
  FROM x_reported AS c
  LEFT JOIN (SELECT conv_n FROM x_extra_raw WHERE kind = 'goods') AS k ON k.conv_n = c.conv_n
  WHERE k.conv_n IS NULL AND c.type <> 'lead' AND c.type <> 'qualified' AND $goods_millionths > 0
) AS u
GROUP BY conv_n
HAVING sum(goods_minor) <> 0 OR sum(potential_minor) <> 0

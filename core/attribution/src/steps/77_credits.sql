-- Money by largest remainder: everybody gets the whole units of his share, the units that are left go to
-- the largest fractions, the earlier touch first. Net may be negative after a refund: split the amount,
-- keep the sign.
SELECT conv_n, model_n, touch_n, pos, n, share,
  gross_sign * (gross_base + CASE WHEN gross_rank <= gross_minor - gross_given THEN 1 ELSE 0 END) AS gross_minor,
  net_sign * (net_base + CASE WHEN net_rank <= net_minor - net_given THEN 1 ELSE 0 END) AS net_minor
FROM (
  SELECT conv_n, model_n, touch_n, pos, n, share, gross_sign, net_sign, gross_minor, net_minor, gross_base, net_base,
    sum(gross_base) OVER (PARTITION BY conv_n, model_n) AS gross_given,
    sum(net_base) OVER (PARTITION BY conv_n, model_n) AS net_given,
    CAST(row_number() OVER (PARTITION BY conv_n, model_n ORDER BY gross_fraction DESC, pos) AS BIGINT) AS gross_rank,
    CAST(row_number() OVER (PARTITION BY conv_n, model_n ORDER BY net_fraction DESC, pos) AS BIGINT) AS net_rank
  FROM (
    SELECT conv_n, model_n, touch_n, pos, n, share, gross_sign, net_sign, gross_minor, net_minor,
      CASE WHEN w_sum IS NULL THEN CAST(floor(share * CAST(gross_minor AS DOUBLE)) AS BIGINT)
        ELSE gross_whole * w + CAST(round(CAST(gross_rest * w - (gross_rest * w) % w_sum AS DOUBLE) / CAST(w_sum AS DOUBLE)) AS BIGINT)
      END AS gross_base,
      CASE WHEN w_sum IS NULL THEN share * CAST(gross_minor AS DOUBLE) - floor(share * CAST(gross_minor AS DOUBLE))
        ELSE CAST((gross_rest * w) % w_sum AS DOUBLE) / CAST(w_sum AS DOUBLE)
      END AS gross_fraction,
      CASE WHEN w_sum IS NULL THEN CAST(floor(share * CAST(net_minor AS DOUBLE)) AS BIGINT)
        ELSE net_whole * w + CAST(round(CAST(net_rest * w - (net_rest * w) % w_sum AS DOUBLE) / CAST(w_sum AS DOUBLE)) AS BIGINT)
      END AS net_base,
      CASE WHEN w_sum IS NULL THEN share * CAST(net_minor AS DOUBLE) - floor(share * CAST(net_minor AS DOUBLE))
        ELSE CAST((net_rest * w) % w_sum AS DOUBLE) / CAST(w_sum AS DOUBLE)
      END AS net_fraction
    FROM (
      SELECT conv_n, model_n, touch_n, pos, n, share, w, w_sum, gross_sign, net_sign, gross_minor, net_minor,
        gross_minor % coalesce(w_sum, 1) AS gross_rest,
        CAST(round(CAST(gross_minor - gross_minor % coalesce(w_sum, 1) AS DOUBLE) / CAST(coalesce(w_sum, 1) AS DOUBLE)) AS BIGINT) AS gross_whole,
        net_minor % coalesce(w_sum, 1) AS net_rest,
        CAST(round(CAST(net_minor - net_minor % coalesce(w_sum, 1) AS DOUBLE) / CAST(coalesce(w_sum, 1) AS DOUBLE)) AS BIGINT) AS net_whole
      FROM (
        SELECT s.conv_n, s.model_n, s.touch_n, s.pos, s.n, s.share, s.w,
          CASE WHEN m.model = 'time_decay' THEN NULL ELSE s.w_sum END AS w_sum,
          CAST(CASE WHEN c.gross_minor < 0 THEN -1 ELSE 1 END AS BIGINT) AS gross_sign,
          CAST(CASE WHEN c.net_minor < 0 THEN -1 ELSE 1 END AS BIGINT) AS net_sign,
          abs(c.gross_minor) AS gross_minor,
          abs(c.net_minor) AS net_minor
        FROM x_share AS s
        JOIN x_reported AS c ON c.conv_n = s.conv_n
        JOIN p_model AS m ON m.model_n = s.model_n
      ) AS a
    ) AS b
  ) AS d
) AS e
UNION ALL
-- Who came from nowhere: one row, so that the books close.
SELECT c.conv_n, m.model_n, CAST(NULL AS BIGINT) AS touch_n, CAST(0 AS BIGINT) AS pos, CAST(0 AS BIGINT) AS n,
  CAST(1 AS DOUBLE) AS share, c.gross_minor, c.net_minor
FROM x_reported AS c
LEFT JOIN (SELECT DISTINCT conv_n FROM x_path) AS p ON p.conv_n = c.conv_n
CROSS JOIN p_model AS m
WHERE p.conv_n IS NULL

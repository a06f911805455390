-- Both split by largest remainder as income is, by day, channel, campaign and model.
SELECT day_n, channel_n, campaign_n, model_n,
  CAST(sum(goods_sign * (goods_base + CASE WHEN goods_rank <= goods_minor - goods_given THEN 1 ELSE 0 END)) AS BIGINT) AS goods_minor,
  CAST(sum(potential_sign * (potential_base + CASE WHEN potential_rank <= potential_minor - potential_given THEN 1 ELSE 0 END)) AS BIGINT) AS potential_minor
FROM (
  SELECT day_n, channel_n, campaign_n, model_n, goods_sign, potential_sign, goods_minor, potential_minor,
    goods_base, potential_base,
    sum(goods_base) OVER (PARTITION BY conv_n, model_n) AS goods_given,
    sum(potential_base) OVER (PARTITION BY conv_n, model_n) AS potential_given,
    CAST(row_number() OVER (PARTITION BY conv_n, model_n ORDER BY goods_share - CAST(goods_base AS DOUBLE) DESC, pos) AS BIGINT) AS goods_rank,
    CAST(row_number() OVER (PARTITION BY conv_n, model_n ORDER BY potential_share - CAST(potential_base AS DOUBLE) DESC, pos) AS BIGINT) AS potential_rank
  FROM (
    SELECT conv_n, model_n, pos, day_n, channel_n, campaign_n, goods_sign, potential_sign, goods_minor, potential_minor,
      goods_share, potential_share,
      CAST(floor(goods_share) AS BIGINT) AS goods_base,
      CAST(floor(potential_share) AS BIGINT) AS potential_base
    FROM (
      SELECT a.conv_n, a.model_n, a.pos, c.day_n, coalesce(t.channel_n, 0) AS channel_n,
        coalesce(t.campaign_n, 0) AS campaign_n,
        CAST(CASE WHEN e.goods_minor < 0 THEN -1 ELSE 1 END AS BIGINT) AS goods_sign,
        CAST(CASE WHEN e.potential_minor < 0 THEN -1 ELSE 1 END AS BIGINT) AS potential_sign,
        abs(e.goods_minor) AS goods_minor,
        abs(e.potential_minor) AS potential_minor,
        -- Rounded, so that a share that is a whole number of units is seen as one.
        round(a.share * CAST(abs(e.goods_minor) AS DOUBLE), 6) AS goods_share,
        round(a.share * CAST(abs(e.potential_minor) AS DOUBLE), 6) AS potential_share
      FROM x_extra AS e
      JOIN x_credit AS a ON a.conv_n = e.conv_n
      JOIN x_reported AS c ON c.conv_n = e.conv_n
      LEFT JOIN x_touch AS t ON t.touch_n = a.touch_n
    ) AS s
  ) AS b
) AS r
GROUP BY day_n, channel_n, campaign_n, model_n

-- The same by channel.
SELECT day_n, channel_n, model_n, CAST(sum(leads) AS BIGINT) AS leads, CAST(sum(sales) AS BIGINT) AS sales,
  CAST(sum(gross_minor) AS BIGINT) AS gross_minor, CAST(sum(net_minor) AS BIGINT) AS net_minor,
  CAST(sum(goods_minor) AS BIGINT) AS goods_minor, CAST(sum(potential_minor) AS BIGINT) AS potential_minor
FROM x_credit_cell
GROUP BY day_n, channel_n, model_n

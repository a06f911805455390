-- Credit and money of a channel and campaign on a day by model. Shares are summed as whole numbers of 10^-12,
-- so that the sum does not depend on the order of rows.
SELECT day_n, channel_n, campaign_n, model_n, CAST(sum(records) AS BIGINT) AS records, CAST(sum(leads) AS BIGINT) AS leads, CAST(sum(sales) AS BIGINT) AS sales,
  CAST(sum(gross_minor) AS BIGINT) AS gross_minor, CAST(sum(net_minor) AS BIGINT) AS net_minor,
  CAST(sum(goods_minor) AS BIGINT) AS goods_minor, CAST(sum(potential_minor) AS BIGINT) AS potential_minor
FROM (
  SELECT c.day_n, coalesce(t.channel_n, 0) AS channel_n, coalesce(t.campaign_n, 0) AS campaign_n, a.model_n,
    count(*) AS records, sum(CASE WHEN c.type = 'lead' THEN CAST(round(a.share * CAST(1000000000000 AS DOUBLE)) AS BIGINT) ELSE 0 END) AS leads,
    sum(CASE WHEN c.type = 'won' THEN CAST(round(a.share * CAST(1000000000000 AS DOUBLE)) AS BIGINT) ELSE 0 END) AS sales,
    sum(a.gross_minor) AS gross_minor, sum(a.net_minor) AS net_minor,
    CAST(0 AS BIGINT) AS goods_minor, CAST(0 AS BIGINT) AS potential_minor
  FROM x_credit AS a
  JOIN x_reported AS c ON c.conv_n = a.conv_n
  LEFT JOIN x_touch AS t ON t.touch_n = a.touch_n
  WHERE a.share > 0
  GROUP BY c.day_n, coalesce(t.channel_n, 0), coalesce(t.campaign_n, 0), a.model_n
  UNION ALL
  SELECT day_n, channel_n, campaign_n, model_n, records, CAST(0 AS BIGINT) AS leads, CAST(0 AS BIGINT) AS sales,
    CAST(0 AS BIGINT) AS gross_minor, CAST(0 AS BIGINT) AS net_minor, goods_minor, potential_minor
  FROM x_extra_cell
) AS u
GROUP BY day_n, channel_n, campaign_n, model_n

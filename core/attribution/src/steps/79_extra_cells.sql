-- Both, split as income is, by day, channel, campaign and model.
SELECT c.day_n, coalesce(t.channel_n, 0) AS channel_n, coalesce(t.campaign_n, 0) AS campaign_n, a.model_n,
  CAST(count(*) AS BIGINT) AS records, CAST(sum(a.goods_minor) AS BIGINT) AS goods_minor, CAST(sum(a.potential_minor) AS BIGINT) AS potential_minor
FROM x_credit AS a
JOIN x_reported AS c ON c.conv_n = a.conv_n
LEFT JOIN x_touch AS t ON t.touch_n = a.touch_n
WHERE a.goods_minor <> 0 OR a.potential_minor <> 0
GROUP BY c.day_n, coalesce(t.channel_n, 0), coalesce(t.campaign_n, 0), a.model_n

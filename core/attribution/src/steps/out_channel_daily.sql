SELECT day_n AS date, channel_id, model, visits, inquiries, new_inquiries, inquiries - new_inquiries AS repeat_inquiries,
  leads, sales, gross_minor AS gross, net_minor AS net, goods_minor AS goods_cost, potential_minor AS potential,
  cost_minor AS cost, impressions, clicks,
  CAST(net_minor - cost_minor AS DOUBLE) / CAST(nullif(cost_minor, 0) AS DOUBLE) * CAST(100 AS DOUBLE) AS roi,
  CAST(net_minor - goods_minor - cost_minor AS DOUBLE) / CAST(nullif(cost_minor, 0) AS DOUBLE) * CAST(100 AS DOUBLE) AS romi,
  CAST(net_minor AS DOUBLE) / CAST(nullif(cost_minor, 0) AS DOUBLE) AS roas,
  CAST(cost_minor AS DOUBLE) / CAST($units_per_one AS DOUBLE) / CAST(nullif(inquiries, 0) AS DOUBLE) AS cost_per_inquiry,
  CAST(cost_minor AS DOUBLE) / CAST($units_per_one AS DOUBLE) / CAST(CASE WHEN leads = 0 THEN NULL ELSE leads END AS DOUBLE) AS cpl,
  CAST(cost_minor AS DOUBLE) / CAST($units_per_one AS DOUBLE) / CAST(CASE WHEN sales = 0 THEN NULL ELSE sales END AS DOUBLE) AS cac,
  CAST(cost_minor AS DOUBLE) / CAST($units_per_one AS DOUBLE) / CAST(nullif(clicks, 0) AS DOUBLE) AS cpc,
  CAST(clicks AS DOUBLE) / CAST(nullif(impressions, 0) AS DOUBLE) AS ctr,
  CAST(inquiries AS DOUBLE) / CAST(nullif(visits, 0) AS DOUBLE) AS inquiry_conversion,
  sales / CAST(nullif(inquiries, 0) AS DOUBLE) AS sale_conversion,
  CAST(net_minor AS DOUBLE) / CAST($units_per_one AS DOUBLE) / CAST(CASE WHEN sales = 0 THEN NULL ELSE sales END AS DOUBLE) AS average_sale
FROM (
  SELECT g.day_n, h.channel_id, m.model,
    coalesce(d.visits, 0) AS visits, coalesce(d.inquiries, 0) AS inquiries, coalesce(d.new_inquiries, 0) AS new_inquiries,
    round(CAST(coalesce(a.leads, 0) AS DOUBLE) / CAST(1000000000000 AS DOUBLE), 9) AS leads,
    round(CAST(coalesce(a.sales, 0) AS DOUBLE) / CAST(1000000000000 AS DOUBLE), 9) AS sales,
    coalesce(a.gross_minor, 0) AS gross_minor, coalesce(a.net_minor, 0) AS net_minor,
    coalesce(a.goods_minor, 0) AS goods_minor, coalesce(a.potential_minor, 0) AS potential_minor,
    coalesce(d.cost_minor, 0) AS cost_minor,
    coalesce(d.impressions, 0) AS impressions, coalesce(d.clicks, 0) AS clicks
  FROM (
    SELECT day_n, channel_n FROM x_channel_day
    UNION
    SELECT day_n, channel_n FROM x_credit_day
  ) AS g
  CROSS JOIN p_model AS m
  JOIN x_channel AS h ON h.channel_n = g.channel_n
  LEFT JOIN x_channel_day AS d ON d.day_n = g.day_n AND d.channel_n = g.channel_n
  LEFT JOIN x_credit_day AS a ON a.day_n = g.day_n AND a.channel_n = g.channel_n AND a.model_n = m.model_n
) AS f

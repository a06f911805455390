SELECT day_n AS date, channel_id, model, visits, inquiries, new_inquiries, inquiries - new_inquiries AS repeat_inquiries,
  leads, sales, gross_minor AS gross, net_minor AS net, cost_minor AS cost,
  CASE WHEN cost_minor = 0 THEN NULL
    ELSE CAST(net_minor - cost_minor AS DOUBLE) / CAST(cost_minor AS DOUBLE) * CAST(100 AS DOUBLE) END AS roi,
  CASE WHEN cost_minor = 0 THEN NULL ELSE CAST(net_minor AS DOUBLE) / CAST(cost_minor AS DOUBLE) END AS roas,
  CASE WHEN leads = 0 THEN NULL ELSE CAST(cost_minor AS DOUBLE) / CAST($units_per_one AS DOUBLE) / leads END AS cpl,
  CASE WHEN sales = 0 THEN NULL ELSE CAST(cost_minor AS DOUBLE) / CAST($units_per_one AS DOUBLE) / sales END AS cac
FROM (
  SELECT g.day_n, h.channel_id, m.model,
    coalesce(d.visits, 0) AS visits, coalesce(d.inquiries, 0) AS inquiries, coalesce(d.new_inquiries, 0) AS new_inquiries,
    round(CAST(coalesce(a.leads, 0) AS DOUBLE) / CAST(1000000000000 AS DOUBLE), 9) AS leads,
    round(CAST(coalesce(a.sales, 0) AS DOUBLE) / CAST(1000000000000 AS DOUBLE), 9) AS sales,
    coalesce(a.gross_minor, 0) AS gross_minor, coalesce(a.net_minor, 0) AS net_minor,
    coalesce(d.cost_minor, 0) AS cost_minor
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

-- What is to be split between campaigns, one line each.
SELECT cost_n, day_n, campaign_n, 'cost' AS what, cost_minor AS amount FROM x_cost_group
UNION ALL
SELECT cost_n, day_n, campaign_n, 'impressions' AS what, impressions AS amount FROM x_cost_group
UNION ALL
SELECT cost_n, day_n, campaign_n, 'clicks' AS what, clicks AS amount FROM x_cost_group

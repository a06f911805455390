-- Money that stands beside income and is split as credit is: what sold goods cost (on the sale), what open
-- deals may bring (on their lead).
SELECT c.conv_n, 'goods' AS kind, c.day_n, c.currency, d.goods_cost_minor AS value_minor
FROM x_conv_raw AS c
JOIN c_deals AS d ON 'won:' || d.deal_id = c.conversion_id
WHERE d.goods_cost_minor IS NOT NULL
UNION ALL
SELECT c.conv_n, 'goods' AS kind, c.day_n, c.currency, p.goods_cost_minor AS value_minor
FROM x_conv_raw AS c
JOIN c_conversions AS p ON p.conversion_id = c.conversion_id
WHERE p.goods_cost_minor IS NOT NULL
UNION ALL
SELECT c.conv_n, 'potential' AS kind, c.day_n, c.currency, c.original_minor AS value_minor
FROM x_conv_raw AS c
JOIN x_deal AS d ON 'lead:' || d.deal_id = c.conversion_id
WHERE d.state = 'open'

-- Credit and money of a channel on a day by model. Shares are summed as whole numbers of 10^-12, so that
-- the sum does not depend on the order of rows.
SELECT c.day_n, coalesce(t.channel_n, 0) AS channel_n, a.model_n,
  sum(CASE WHEN c.type = 'lead' THEN CAST(round(a.share * CAST(1000000000000 AS DOUBLE)) AS BIGINT) ELSE 0 END) AS leads,
  sum(CASE WHEN c.type = 'won' THEN CAST(round(a.share * CAST(1000000000000 AS DOUBLE)) AS BIGINT) ELSE 0 END) AS sales,
  sum(a.gross_minor) AS gross_minor, sum(a.net_minor) AS net_minor
FROM x_credit AS a
JOIN x_reported AS c ON c.conv_n = a.conv_n
LEFT JOIN x_touch AS t ON t.touch_n = a.touch_n
WHERE a.share > 0
GROUP BY c.day_n, coalesce(t.channel_n, 0), a.model_n

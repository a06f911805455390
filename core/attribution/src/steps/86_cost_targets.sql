-- The campaigns whose touches a cost paid for: those of its day that share its words down to the finest level
-- both sides have. A word that both have and that differs parts them.
SELECT cost_n, campaign_n, campaign_key, touches
FROM (
  SELECT cost_n, campaign_n, campaign_key, touches, level, max(level) OVER (PARTITION BY cost_n) AS finest
  FROM (
    SELECT g.cost_n, t.campaign_n, t.campaign_key, t.touches, CASE WHEN g.ad = t.ad THEN 5 ELSE 4 END AS level
    FROM x_cost_group AS g
    JOIN x_campaign_day AS t ON t.day_n = g.day_n AND t.source = g.source AND t.medium = g.medium
      AND t.campaign = g.campaign AND t.keyword = g.keyword
    WHERE g.ad IS NULL OR t.ad IS NULL OR g.ad = t.ad
    UNION ALL
    SELECT g.cost_n, t.campaign_n, t.campaign_key, t.touches, 3 AS level
    FROM x_cost_group AS g
    JOIN x_campaign_day AS t ON t.day_n = g.day_n AND t.source = g.source AND t.medium = g.medium
      AND t.campaign = g.campaign AND t.ad = g.ad
    WHERE g.keyword IS NULL OR t.keyword IS NULL
    UNION ALL
    SELECT g.cost_n, t.campaign_n, t.campaign_key, t.touches, 2 AS level
    FROM x_cost_group AS g
    JOIN x_campaign_day AS t ON t.day_n = g.day_n AND t.source = g.source AND t.medium = g.medium
      AND t.campaign = g.campaign
    WHERE (g.keyword IS NULL OR t.keyword IS NULL) AND (g.ad IS NULL OR t.ad IS NULL)
    UNION ALL
    SELECT g.cost_n, t.campaign_n, t.campaign_key, t.touches, 1 AS level
    FROM x_cost_group AS g
    JOIN x_campaign_day AS t ON t.day_n = g.day_n AND t.source = g.source AND t.medium = g.medium
    WHERE g.campaign IS NULL OR t.campaign IS NULL
  ) AS c
) AS r
WHERE level = finest

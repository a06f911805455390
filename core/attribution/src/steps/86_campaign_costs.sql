-- Costs, impressions and clicks of a campaign on a day. What paid for several campaigns is split by their
-- touches, by largest remainder; what paid for none stays with the campaign the cost row names.
SELECT day_n, campaign_n,
  CAST(sum(CASE WHEN what = 'cost' THEN amount ELSE 0 END) AS BIGINT) AS cost_minor,
  CAST(sum(CASE WHEN what = 'impressions' THEN amount ELSE 0 END) AS BIGINT) AS impressions,
  CAST(sum(CASE WHEN what = 'clicks' THEN amount ELSE 0 END) AS BIGINT) AS clicks
FROM (
  SELECT g.day_n, g.campaign_n, g.what, g.amount
  FROM x_cost_amount AS g
  LEFT JOIN (SELECT DISTINCT cost_n FROM x_cost_target) AS t ON t.cost_n = g.cost_n
  WHERE t.cost_n IS NULL
  UNION ALL
  SELECT day_n, campaign_n, what, sign * (base + CASE WHEN place <= amount - given THEN 1 ELSE 0 END) AS amount
  FROM (
    SELECT day_n, campaign_n, what, sign, amount, base,
      sum(base) OVER (PARTITION BY cost_n, what) AS given,
      CAST(row_number() OVER (PARTITION BY cost_n, what ORDER BY part % all_touches DESC, campaign_key) AS BIGINT) AS place
    FROM (
      SELECT cost_n, day_n, campaign_n, campaign_key, what, sign, amount, part, all_touches,
        CAST(round(CAST(amount - amount % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) * touches
          + CAST(round(CAST(part - part % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) AS base
      FROM (
        SELECT t.cost_n, g.day_n, t.campaign_n, t.campaign_key, g.what, t.touches, t.all_touches,
          CAST(CASE WHEN g.amount < 0 THEN -1 ELSE 1 END AS BIGINT) AS sign,
          abs(g.amount) AS amount,
          abs(g.amount) % t.all_touches * t.touches AS part
        FROM (
          SELECT cost_n, campaign_n, campaign_key, touches,
            CAST(sum(touches) OVER (PARTITION BY cost_n) AS BIGINT) AS all_touches
          FROM x_cost_target
        ) AS t
        JOIN x_cost_amount AS g ON g.cost_n = t.cost_n
      ) AS s
    ) AS b
  ) AS r
) AS u
GROUP BY day_n, campaign_n

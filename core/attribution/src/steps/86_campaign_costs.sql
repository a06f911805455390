-- Costs, impressions and clicks of a campaign on a day. What paid for several campaigns is split by their
-- touches, by largest remainder; what paid for none stays with the campaign the cost row names.
SELECT day_n, campaign_n, CAST(sum(cost_minor) AS BIGINT) AS cost_minor, CAST(sum(impressions) AS BIGINT) AS impressions,
  CAST(sum(clicks) AS BIGINT) AS clicks
FROM (
  SELECT g.day_n, g.campaign_n, g.cost_minor, g.impressions, g.clicks
  FROM x_cost_group AS g
  LEFT JOIN (SELECT DISTINCT cost_n FROM x_cost_target) AS t ON t.cost_n = g.cost_n
  WHERE t.cost_n IS NULL
  UNION ALL
  SELECT day_n, campaign_n,
    cost_sign * (cost_base + CASE WHEN cost_rank <= cost_minor - cost_given THEN 1 ELSE 0 END) AS cost_minor,
    impressions_base + CASE WHEN impressions_rank <= impressions - impressions_given THEN 1 ELSE 0 END AS impressions,
    clicks_base + CASE WHEN clicks_rank <= clicks - clicks_given THEN 1 ELSE 0 END AS clicks
  FROM (
    SELECT day_n, campaign_n, cost_sign, cost_minor, impressions, clicks, cost_base, impressions_base, clicks_base,
      sum(cost_base) OVER (PARTITION BY cost_n) AS cost_given,
      sum(impressions_base) OVER (PARTITION BY cost_n) AS impressions_given,
      sum(clicks_base) OVER (PARTITION BY cost_n) AS clicks_given,
      CAST(row_number() OVER (PARTITION BY cost_n ORDER BY cost_minor_part % all_touches DESC, campaign_key) AS BIGINT) AS cost_rank,
      CAST(row_number() OVER (PARTITION BY cost_n ORDER BY impressions_part % all_touches DESC, campaign_key) AS BIGINT) AS impressions_rank,
      CAST(row_number() OVER (PARTITION BY cost_n ORDER BY clicks_part % all_touches DESC, campaign_key) AS BIGINT) AS clicks_rank
    FROM (
      SELECT cost_n, day_n, campaign_n, campaign_key, all_touches, cost_sign, cost_minor, impressions, clicks,
        cost_minor_part, impressions_part, clicks_part,
        cost_minor_whole + CAST(round(CAST(cost_minor_part - cost_minor_part % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) AS cost_base,
        impressions_whole + CAST(round(CAST(impressions_part - impressions_part % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) AS impressions_base,
        clicks_whole + CAST(round(CAST(clicks_part - clicks_part % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) AS clicks_base
      FROM (
        SELECT cost_n, day_n, campaign_n, campaign_key, all_touches, cost_sign, cost_minor, impressions, clicks,
          cost_minor % all_touches * touches AS cost_minor_part,
      CAST(round(CAST(cost_minor - cost_minor % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) * touches AS cost_minor_whole,
          impressions % all_touches * touches AS impressions_part,
      CAST(round(CAST(impressions - impressions % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) * touches AS impressions_whole,
          clicks % all_touches * touches AS clicks_part,
      CAST(round(CAST(clicks - clicks % all_touches AS DOUBLE) / CAST(all_touches AS DOUBLE)) AS BIGINT) * touches AS clicks_whole
        FROM (
          SELECT t.cost_n, g.day_n, t.campaign_n, t.campaign_key, t.touches,
            CAST(sum(t.touches) OVER (PARTITION BY t.cost_n) AS BIGINT) AS all_touches,
            CAST(CASE WHEN g.cost_minor < 0 THEN -1 ELSE 1 END AS BIGINT) AS cost_sign,
            abs(g.cost_minor) AS cost_minor, g.impressions, g.clicks
          FROM x_cost_target AS t
          JOIN x_cost_group AS g ON g.cost_n = t.cost_n
        ) AS a
      ) AS b
    ) AS c
  ) AS d
) AS u
GROUP BY day_n, campaign_n

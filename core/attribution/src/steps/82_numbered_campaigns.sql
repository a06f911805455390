-- The words and channel most touches of an ad system's campaign id carry; many put the id into
-- utm_campaign.
SELECT campaign_id, source, medium, campaign, channel_n
FROM (
  SELECT campaign_id, source, medium, campaign, channel_n,
    row_number() OVER (PARTITION BY campaign_id ORDER BY touches DESC, coalesce(source, ''), coalesce(medium, ''),
      coalesce(campaign, ''), channel_n) AS rn
  FROM (
    SELECT campaign_id, source, medium, campaign, channel_n, sum(touches) AS touches
    FROM (
      SELECT c.campaign_id, c.source, c.medium, lower(c.campaign) AS campaign, k.channel_n, k.touches
      FROM x_campaign_channel AS k
      JOIN x_campaign AS c ON c.campaign_n = k.campaign_n
      WHERE c.campaign_id IS NOT NULL
      UNION ALL
      SELECT c.campaign AS campaign_id, c.source, c.medium, lower(c.campaign) AS campaign, k.channel_n, k.touches
      FROM x_campaign_channel AS k
      JOIN x_campaign AS c ON c.campaign_n = k.campaign_n
      WHERE c.campaign IS NOT NULL AND (c.campaign_id IS NULL OR c.campaign_id <> c.campaign)
    ) AS both_ways
    GROUP BY campaign_id, source, medium, campaign, channel_n
  ) AS g
) AS r
WHERE rn = 1

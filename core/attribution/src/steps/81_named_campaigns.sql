-- The channel most touches of a (source, medium, campaign) came through.
SELECT source, medium, campaign, channel_n
FROM (
  SELECT source, medium, campaign, channel_n,
    row_number() OVER (PARTITION BY source, medium, campaign ORDER BY touches DESC, channel_n) AS rn
  FROM (
    SELECT lower(c.source) AS source, lower(c.medium) AS medium, lower(c.campaign) AS campaign, k.channel_n,
      sum(k.touches) AS touches
    FROM x_campaign_channel AS k
    JOIN x_campaign AS c ON c.campaign_n = k.campaign_n
    WHERE c.source IS NOT NULL AND c.medium IS NOT NULL AND c.campaign IS NOT NULL
    GROUP BY lower(c.source), lower(c.medium), lower(c.campaign), k.channel_n
  ) AS g
) AS r
WHERE rn = 1

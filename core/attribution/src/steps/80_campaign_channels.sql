-- Through which channel a campaign's touches came; a campaign may have come through several.
SELECT campaign_n, channel_n, count(*) AS touches
FROM x_touch
WHERE campaign_n IS NOT NULL
GROUP BY campaign_n, channel_n

-- Touches of a campaign on a day, by the channel they came through; a campaign may have come through several.
SELECT day_n, campaign_n, channel_n, CAST(count(*) AS BIGINT) AS touches
FROM x_touch
WHERE campaign_n IS NOT NULL
GROUP BY day_n, campaign_n, channel_n

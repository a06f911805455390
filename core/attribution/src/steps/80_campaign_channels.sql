-- Through which channel a campaign's touches came.
SELECT campaign_n, channel_n, CAST(sum(touches) AS BIGINT) AS touches
FROM x_campaign_cell
GROUP BY campaign_n, channel_n

-- The words touches carried, by day.
SELECT DISTINCT day_n, source, medium, campaign, ad, keyword FROM x_campaign_day

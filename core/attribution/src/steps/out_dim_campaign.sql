SELECT campaign_key, system, account, campaign_id, campaign, adgroup_id, ad_id, ad, keyword, medium, source
FROM x_campaign

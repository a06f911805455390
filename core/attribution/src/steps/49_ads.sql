-- What an ad's id stands for, from the newest cost row that names it.
SELECT ad_id, system, account, campaign_id, campaign, adgroup_id, ad, source, medium
FROM (
  SELECT ad_id, system, account, campaign_id, campaign, adgroup_id, ad, source, medium,
    row_number() OVER (PARTITION BY ad_id ORDER BY day_n DESC, system, coalesce(account, ''),
      coalesce(campaign_id, ''), coalesce(campaign, ''), coalesce(adgroup_id, ''), coalesce(ad, ''),
      coalesce(source, ''), coalesce(medium, '')) AS rn
  FROM c_costs
  WHERE ad_id IS NOT NULL
) AS r
WHERE rn = 1

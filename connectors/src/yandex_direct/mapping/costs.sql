-- Rows of the report. Money is in millionths of the account's currency; a dash (null here) in Cost is no cost.
SELECT 'yandex_direct'                                                    AS system,
       "Date"                                                             AS day,
       account,
       "CampaignId"                                                       AS campaign_id,
       "CampaignName"                                                     AS campaign,
       "AdGroupId"                                                        AS adgroup_id,
       "AdId"                                                             AS ad_id,
       "Criterion"                                                        AS keyword,
       "Impressions"                                                      AS impressions,
       "Clicks"                                                           AS clicks,
       coalesce(minor_units(CAST("Cost" AS VARCHAR) || 'e-6', currency), 0) AS cost_minor,
       currency
FROM ads

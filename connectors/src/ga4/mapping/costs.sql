-- Rows that cost something, or were shown. Google Ads has its own name; costs that were imported into Analytics go
-- by their source.
SELECT CASE WHEN "sessionSource" = 'google' AND "sessionMedium" IN ('cpc', 'ppc') THEN 'google_ads'
            ELSE 'ga4' END                                                AS system,
       report_day                                                         AS day,
       property                                                           AS account,
       nullif("sessionSource", '(not set)')                               AS source,
       nullif("sessionMedium", '(not set)')                               AS medium,
       nullif("sessionCampaignId", '(not set)')                           AS campaign_id,
       nullif("sessionCampaignName", '(not set)')                         AS campaign,
       nullif("sessionGoogleAdsAdGroupId", '(not set)')                   AS adgroup_id,
       nullif("sessionGoogleAdsCreativeId", '(not set)')                  AS ad_id,
       nullif("sessionManualAdContent", '(not set)')                      AS ad,
       coalesce(nullif("sessionGoogleAdsKeyword", '(not set)'),
                nullif("sessionManualTerm", '(not set)'))                 AS keyword,
       CAST("advertiserAdImpressions" AS BIGINT)                          AS impressions,
       CAST("advertiserAdClicks" AS BIGINT)                               AS clicks,
       minor_units("advertiserAdCost", report_currency)                   AS cost_minor,
       report_currency                                                    AS currency
FROM ad_costs
WHERE "advertiserAdCost" <> 0 OR "advertiserAdClicks" <> 0 OR "advertiserAdImpressions" <> 0

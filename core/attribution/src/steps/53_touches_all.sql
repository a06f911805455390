SELECT touch_id, kind, person, ts_us, visit_id, platform, message_id, channel, keyword, page_key, region, origin, campaign_text
FROM x_touch_raw
UNION ALL
SELECT touch_id, kind, person, ts_us, visit_id, platform, message_id, channel, keyword, page_key, region, origin, campaign_text
FROM x_deal_touch

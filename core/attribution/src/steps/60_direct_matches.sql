-- What the inquiry itself says about where it came from.
SELECT q.inquiry_id, q.person, q.ts_us, q.platform, q.business_number,
  CASE
    WHEN q.token_visit IS NOT NULL AND q.token_hidden = 1 THEN 'deeplink'
    WHEN q.token_visit IS NOT NULL THEN 'token'
    WHEN q.link_message_id IS NOT NULL THEN 'deeplink'
    WHEN q.ad_message_id IS NOT NULL THEN 'ad_referral'
  END AS match_method,
  CASE
    WHEN q.token_visit IS NOT NULL THEN 'visit:' || q.token_visit
    WHEN q.link_message_id IS NOT NULL THEN 'link:' || q.platform || ':' || q.link_message_id
    WHEN q.ad_message_id IS NOT NULL THEN 'ad:' || q.platform || ':' || q.ad_message_id
  END AS touch_id
FROM x_inquiry AS q

SELECT q.day_n AS date, q.source, q.records AS rows, q.inquiries, q.token, q.deeplink, q.ad_referral, q.known AS identity,
  q.time_window, q.unmatched AS none,
  CAST(q.token AS DOUBLE) / CAST(nullif(q.inquiries, 0) AS DOUBLE) AS token_share,
  CAST(q.deeplink AS DOUBLE) / CAST(nullif(q.inquiries, 0) AS DOUBLE) AS deeplink_share,
  CAST(q.ad_referral AS DOUBLE) / CAST(nullif(q.inquiries, 0) AS DOUBLE) AS ad_referral_share,
  CAST(q.known AS DOUBLE) / CAST(nullif(q.inquiries, 0) AS DOUBLE) AS identity_share,
  CAST(q.time_window AS DOUBLE) / CAST(nullif(q.inquiries, 0) AS DOUBLE) AS time_window_share,
  CAST(q.unmatched AS DOUBLE) / CAST(nullif(q.inquiries, 0) AS DOUBLE) AS none_share,
  q.site_inquiries, q.site_tokens,
  CAST(q.site_tokens AS DOUBLE) / CAST(nullif(q.site_inquiries, 0) AS DOUBLE) AS site_token_share,
  q.unmatched_minor AS unmatched_cost,
  coalesce(v.late_rows, 0) + CASE
    WHEN q.day_n < b.newest_n AND q.records > coalesce(v.records, 0) THEN q.records - coalesce(v.records, 0)
    ELSE 0
  END AS late_rows
FROM x_quality AS q
-- A day that lay behind the newest one of the epoch before was over then: what it has more now came late.
LEFT JOIN (SELECT source, max(day_n) AS newest_n FROM c_previous_quality GROUP BY source) AS b ON b.source = q.source
LEFT JOIN c_previous_quality AS v ON v.day_n = q.day_n AND v.source = q.source

-- Records of a day by where they come from, how inquiries were matched. An
-- inquiry came from the site when anything of a token stood in it, when a click just before it matched, or when
-- a visit of that person began less than an hour before; hidden carriers cannot be edited and stand aside.
SELECT day_n, source, CAST(sum(records) AS BIGINT) AS records, CAST(sum(inquiries) AS BIGINT) AS inquiries,
  CAST(sum(token) AS BIGINT) AS token, CAST(sum(deeplink) AS BIGINT) AS deeplink,
  CAST(sum(ad_referral) AS BIGINT) AS ad_referral, CAST(sum(known) AS BIGINT) AS known,
  CAST(sum(time_window) AS BIGINT) AS time_window, CAST(sum(unmatched) AS BIGINT) AS unmatched,
  CAST(sum(site_inquiries) AS BIGINT) AS site_inquiries, CAST(sum(site_tokens) AS BIGINT) AS site_tokens
FROM (
  SELECT day_n, 'visits' AS source, count(*) AS records, 0 AS inquiries, 0 AS token, 0 AS deeplink, 0 AS ad_referral, 0 AS known, 0 AS time_window, 0 AS unmatched, 0 AS site_inquiries, 0 AS site_tokens
  FROM x_visit
  GROUP BY day_n
  UNION ALL
  SELECT day_n, 'messages:' || platform AS source, count(*) AS records, 0 AS inquiries, 0 AS token, 0 AS deeplink, 0 AS ad_referral, 0 AS known, 0 AS time_window, 0 AS unmatched, 0 AS site_inquiries, 0 AS site_tokens
  FROM (
    SELECT m.platform,
      CAST(round(CAST(m.ts_us - ((m.ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n
    FROM x_message AS m
  ) AS m
  GROUP BY day_n, platform
  UNION ALL
  SELECT day_n, 'deals' AS source, count(*) AS records, 0 AS inquiries, 0 AS token, 0 AS deeplink, 0 AS ad_referral, 0 AS known, 0 AS time_window, 0 AS unmatched, 0 AS site_inquiries, 0 AS site_tokens
  FROM (
    SELECT
      CAST(round(CAST(d.created_us - ((d.created_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n
    FROM x_deal AS d
  ) AS d
  GROUP BY day_n
  UNION ALL
  SELECT day_n, 'inquiries:' || platform AS source, count(*) AS records, count(*) AS inquiries,
    sum(CASE WHEN match_method = 'token' THEN 1 ELSE 0 END) AS token,
    sum(CASE WHEN match_method = 'deeplink' THEN 1 ELSE 0 END) AS deeplink,
    sum(CASE WHEN match_method = 'ad_referral' THEN 1 ELSE 0 END) AS ad_referral,
    sum(CASE WHEN match_method = 'identity' THEN 1 ELSE 0 END) AS known,
    sum(CASE WHEN match_method = 'time_window' THEN 1 ELSE 0 END) AS time_window,
    sum(CASE WHEN match_method = 'none' THEN 1 ELSE 0 END) AS unmatched,
    sum(is_site) AS site_inquiries,
    sum(CASE WHEN match_method = 'token' THEN 1 ELSE 0 END) AS site_tokens
  FROM (
    SELECT q.day_n, q.platform, q.match_method,
      CASE
        WHEN q.match_method IN ('deeplink', 'ad_referral') THEN 0
        WHEN q.match_method IN ('token', 'time_window') THEN 1
        WHEN q.opener_token_state IN ('ok', 'edited', 'invalid') THEN 1
        WHEN t.kind = 'visit' AND q.ts_us - t.ts_us < 3600000000 THEN 1
        ELSE 0
      END AS is_site
    FROM x_inquiry_n AS q
    LEFT JOIN x_touch AS t ON t.touch_n = q.touch_n
  ) AS s
  GROUP BY day_n, platform
) AS u
GROUP BY day_n, source

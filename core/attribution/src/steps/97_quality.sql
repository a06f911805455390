-- The same with cost rows, and costs that no touch answers to.
SELECT day_n, source, records, inquiries, token, deeplink, ad_referral, known, time_window, unmatched, site_inquiries,
  site_tokens, CAST(0 AS BIGINT) AS unmatched_minor
FROM x_quality_cell
UNION ALL
SELECT day_n, 'costs:' || system AS source, CAST(count(*) AS BIGINT) AS records, CAST(0 AS BIGINT) AS inquiries,
  CAST(0 AS BIGINT) AS token, CAST(0 AS BIGINT) AS deeplink, CAST(0 AS BIGINT) AS ad_referral, CAST(0 AS BIGINT) AS known,
  CAST(0 AS BIGINT) AS time_window, CAST(0 AS BIGINT) AS unmatched, CAST(0 AS BIGINT) AS site_inquiries,
  CAST(0 AS BIGINT) AS site_tokens,
  CAST(sum(CASE WHEN joined_level = 'none' THEN reported_minor ELSE 0 END) AS BIGINT) AS unmatched_minor
FROM x_cost
GROUP BY day_n, system

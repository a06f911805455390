-- Visits with their person. Who wrote with the visit's token owns it; else whose the browser was at
-- that time; else whose the browser is; a shared browser stands for itself.
SELECT
  v.visit_id,
  v.started_at_us AS ts_us,
  v.started_at_day AS day_n,
  coalesce(s.person, y.own, g.own, y.person, g.person) AS person,
  v.account, v.token, v.ym_client_id, v.ga_client_id, v.source, v.medium, v.campaign_id, v.campaign,
  v.adgroup_id, v.ad_id, v.ad, v.keyword, v.search_query, v.referrer, v.entrance_page,
  v.page_host || v.page_path AS page_key,
  v.traffic_type, v.yclid, v.gclid, v.fbclid, v.region, v.city, v.country, v.device, v.os, v.os_version,
  v.browser, v.screen, v.language, v.is_new_visitor, v.hits, v.duration_s,
  concat_ws($sep, 'visit', coalesce(v.source, ''), coalesce(v.medium, ''), coalesce(v.campaign, ''),
    coalesce(v.traffic_type, ''),
    concat(CASE WHEN v.yclid IS NULL THEN '' ELSE 'yclid,' END, CASE WHEN v.gclid IS NULL THEN '' ELSE 'gclid,' END,
      CASE WHEN v.fbclid IS NULL THEN '' ELSE 'fbclid,' END),
    coalesce(v.referrer_host, '')) AS origin,
  concat_ws($sep, '', '', coalesce(v.campaign_id, ''), coalesce(v.campaign, ''), coalesce(v.adgroup_id, ''),
    coalesce(v.ad_id, ''), coalesce(v.ad, ''), coalesce(v.keyword, ''), coalesce(v.medium, ''),
    coalesce(v.source, '')) AS campaign_text
FROM c_visits AS v
-- One table of what is known of single visits: every join costs a copy of all columns of all visits.
LEFT JOIN (
  SELECT visit_id, coalesce(max(owner), max(bound), max(node)) AS person
  FROM (
    SELECT i.id_value AS visit_id, CASE WHEN m.visit_id IS NULL THEN NULL ELSE i.person END AS owner,
      CAST(NULL AS BIGINT) AS bound, i.person AS node
    FROM x_id AS i
    LEFT JOIN (
      SELECT tv.visit_id FROM x_token_visit AS tv JOIN x_token_user AS u ON u.token = tv.token
      UNION
      SELECT tv.visit_id FROM x_token_visit AS tv JOIN x_token_contact AS c ON c.token = tv.token
    ) AS m ON m.visit_id = i.id_value
    WHERE i.id_type = 'visit'
    UNION ALL
    SELECT visit_id, CAST(NULL AS BIGINT) AS owner, person AS bound, CAST(NULL AS BIGINT) AS node FROM x_visit_bound
  ) AS k
  GROUP BY visit_id
) AS s ON s.visit_id = v.visit_id
LEFT JOIN (
  SELECT id_value, person, CASE WHEN is_shared THEN NULL ELSE person END AS own FROM x_id WHERE id_type = 'ym_client'
) AS y ON y.id_value = v.ym_client_id
LEFT JOIN (
  SELECT id_value, person, CASE WHEN is_shared THEN NULL ELSE person END AS own FROM x_id WHERE id_type = 'ga_client'
) AS g ON g.id_value = v.ga_client_id

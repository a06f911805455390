-- One row per deal of the account: what brought the chat it grew from, its first and last touch, and the credit of
-- channels. A deal without a chat is told by its last touch.
WITH chosen AS (
  -- Its lead, since the path of a lead does not change while the deal is worked on.
  SELECT crm_deal_id, conversion_id, inquiry_id
  FROM (
    SELECT crm_deal_id, conversion_id, inquiry_id,
      row_number() OVER (
        PARTITION BY crm_deal_id
        ORDER BY CASE type WHEN 'lead' THEN 0 WHEN 'qualified' THEN 1 WHEN 'won' THEN 2 ELSE 3 END, ts, conversion_id
      ) AS rn
    FROM conversions
    WHERE starts_with(crm_deal_id, $prefix)
  ) AS c
  WHERE rn = 1
),
model AS (
  SELECT min(model) AS model FROM attribution WHERE $model IS NULL OR model = $model
),
steps AS (
  SELECT a.conversion_id, a.touch_index, a.path_length, a.credit, a.touch_ts, a.model,
    coalesce(h.channel, nullif(a.channel_id, '(none)')) AS channel,
    k.source, k.medium, k.campaign, k.ad, coalesce(t.keyword, k.keyword) AS keyword, t.page_key AS page, v.token
  FROM attribution AS a
  JOIN model AS m ON m.model = a.model
  JOIN chosen AS c ON c.conversion_id = a.conversion_id
  LEFT JOIN touches AS t ON t.touch_id = a.touch_id
  LEFT JOIN visits AS v ON v.visit_id = t.visit_id
  LEFT JOIN dim_campaign AS k ON k.campaign_key = a.campaign_key
  LEFT JOIN dim_channel AS h ON h.channel_id = a.channel_id AND a.channel_id <> '(none)'
),
first AS (
  SELECT * FROM steps WHERE touch_index = 1
),
last AS (
  SELECT * FROM steps WHERE touch_index = path_length OR touch_index = 0
),
-- Rounded twice: sums of shares differ in their last digits with the order they are added in.
shares AS (
  SELECT conversion_id, channel, CAST(round(round(share * 1000000) / 10000) AS BIGINT) AS percent
  FROM (
    SELECT conversion_id, channel, sum(credit) AS share
    FROM steps
    WHERE channel IS NOT NULL
    GROUP BY conversion_id, channel
  ) AS s
),
credits AS (
  SELECT conversion_id,
    string_agg(channel || ' ' || CAST(percent AS VARCHAR) || '%', ', ' ORDER BY percent DESC, channel) AS credit
  FROM shares
  WHERE percent > 0
  GROUP BY conversion_id
),
chats AS (
  SELECT i.inquiry_id, i.touch_id, i.platform, i.match_method, coalesce(h.channel, nullif(i.channel_id, '(none)')) AS channel,
    i.source, i.medium, k.campaign, i.ad, i.keyword, i.page_key AS page, v.token
  FROM inquiries AS i
  LEFT JOIN visits AS v ON v.visit_id = i.visit_id
  LEFT JOIN dim_campaign AS k ON k.campaign_key = i.campaign_key
  LEFT JOIN dim_channel AS h ON h.channel_id = i.channel_id AND i.channel_id <> '(none)'
)
SELECT c.crm_deal_id AS deal_id,
  CASE WHEN q.touch_id IS NOT NULL THEN q.channel ELSE l.channel END AS channel,
  CASE WHEN q.touch_id IS NOT NULL THEN q.source ELSE l.source END AS source,
  CASE WHEN q.touch_id IS NOT NULL THEN q.medium ELSE l.medium END AS medium,
  CASE WHEN q.touch_id IS NOT NULL THEN q.campaign ELSE l.campaign END AS campaign,
  CASE WHEN q.touch_id IS NOT NULL THEN q.ad ELSE l.ad END AS ad,
  CASE WHEN q.touch_id IS NOT NULL THEN q.keyword ELSE l.keyword END AS keyword,
  CASE WHEN q.touch_id IS NOT NULL THEN q.page ELSE l.page END AS page,
  CASE WHEN q.touch_id IS NOT NULL THEN q.token ELSE l.token END AS token,
  q.platform AS messenger, q.match_method,
  f.channel AS first_channel, f.source AS first_source, f.medium AS first_medium, f.campaign AS first_campaign,
  f.ad AS first_ad, f.keyword AS first_keyword, f.page AS first_page, f.touch_ts AS first_at,
  l.channel AS last_channel, l.source AS last_source, l.medium AS last_medium, l.campaign AS last_campaign,
  l.ad AS last_ad, l.keyword AS last_keyword, l.page AS last_page, l.touch_ts AS last_at,
  CASE WHEN l.touch_index = 0 THEN 0 ELSE l.path_length END AS touches,
  r.credit, l.model AS credit_model
FROM chosen AS c
LEFT JOIN chats AS q ON q.inquiry_id = c.inquiry_id
LEFT JOIN first AS f ON f.conversion_id = c.conversion_id
LEFT JOIN last AS l ON l.conversion_id = c.conversion_id
LEFT JOIN credits AS r ON r.conversion_id = c.conversion_id

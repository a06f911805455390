-- Messages with their states. What the platform only reported states of was sent through its API: an
-- outgoing message too.
SELECT m.platform, m.message_id, m.conversation_id, m.ts_us, m.direction, m.sender_kind, m.kind, m.is_event,
  m.text, m.channel_account, m.business_number, m.user_type, m.user_value, m.user_id, m.phone_e164,
  m.contact_name, m.username, m.operator_id, m.token, m.token_state, m.link_ref, m.has_ad, m.ad_post, m.ad_id,
  m.ad_headline, m.ctwa_clid, m.template_id, m.ab_test, m.ab_variant, m.csat, m.bot_handover, m.price_category,
  m.price, m.price_currency, m.sent_us, m.delivered_us, m.read_us, m.failed_us, m.failed_code, m.clicked_us,
  CASE WHEN m.direction = 'in' AND (m.kind = 'unsubscribe' OR u.action = 'opt_out') THEN 1 ELSE 0 END AS is_unsubscribe,
  CASE WHEN m.direction = 'in' AND u.action = 'opt_in' THEN 1 ELSE 0 END AS is_subscribe,
  CASE WHEN m.is_event OR m.sender_kind = 'system' THEN 0 ELSE 1 END AS counts
FROM (
  SELECT
    coalesce(m.platform, s.platform) AS platform,
    coalesce(m.message_id, s.message_id) AS message_id,
    coalesce(m.conversation_id, s.conversation_id,
      s.platform || ':' || coalesce(s.channel_account, '') || ':' || coalesce(s.user_value, s.message_id)) AS conversation_id,
    coalesce(m.ts_us, s.sent_us, s.first_us) AS ts_us,
    coalesce(m.direction, 'out') AS direction,
    CASE
      WHEN m.message_id IS NOT NULL AND m.direction = 'out' AND s.sender_kind = 'broadcast' THEN 'broadcast'
      WHEN m.message_id IS NOT NULL THEN m.sender_kind
      WHEN s.sender_kind IS NOT NULL THEN s.sender_kind
      WHEN s.price_category = 'marketing' THEN 'broadcast'
      ELSE 'bot'
    END AS sender_kind,
    m.kind,
    coalesce(m.is_event, false) AS is_event,
    m.text,
    coalesce(m.channel_account, s.channel_account) AS channel_account,
    coalesce(m.business_number, s.business_number) AS business_number,
    coalesce(m.user_type, s.user_type) AS user_type,
    coalesce(m.user_value, s.user_value) AS user_value,
    coalesce(m.user_id, s.user_id) AS user_id,
    coalesce(m.phone_e164, s.phone_e164) AS phone_e164,
    m.contact_name, m.username,
    coalesce(m.operator_id, s.operator_id) AS operator_id,
    m.token, m.token_state, m.link_ref,
    CASE WHEN m.ad_id IS NULL AND m.ad_source_type IS NULL AND m.ctwa_clid IS NULL AND m.ad_source_url IS NULL
      THEN 0 ELSE 1 END AS has_ad,
    CASE WHEN m.ad_source_type = 'post' THEN 1 ELSE 0 END AS ad_post,
    m.ad_id, m.ad_headline, m.ctwa_clid, m.template_id, m.ab_test, m.ab_variant, m.csat,
    coalesce(m.bot_handover, false) AS bot_handover,
    s.price_category, s.price, s.price_currency,
    -- Accepted by the platform is sent, unless the platform says when.
    CASE
      WHEN m.direction = 'in' THEN NULL
      WHEN s.sent_us IS NULL THEN coalesce(m.ts_us, s.first_us)
      WHEN s.sent_reported = 0 AND m.ts_us < s.sent_us THEN m.ts_us
      ELSE s.sent_us
    END AS sent_us,
    s.delivered_us, s.read_us, s.failed_us, s.failed_code, s.clicked_us
  FROM c_messages AS m
  FULL JOIN x_status AS s ON s.platform = m.platform AND s.message_id = m.message_id
) AS m
LEFT JOIN p_consent_word AS u ON u.word = trim(translate(lower(m.text), '.,!?;:"''«»()[]*', ''))

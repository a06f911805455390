-- Delivery states of a message on one line. Each state implies those before it: none of them is later
-- than a state that follows it.
SELECT platform, message_id, conversation_id, channel_account, business_number, user_type, user_value, user_id,
  phone_e164, sender_kind, operator_id, price_category, price, price_currency, failed_code, first_us, clicked_us, read_us, delivered_us,
  CASE WHEN sent_us IS NULL THEN 0 ELSE 1 END AS sent_reported,
  CASE
    WHEN sent_us IS NULL THEN delivered_us
    WHEN delivered_us < sent_us THEN delivered_us
    ELSE sent_us
  END AS sent_us,
  CASE WHEN delivered_us IS NULL THEN failed_us END AS failed_us
FROM (
  SELECT platform, message_id, conversation_id, channel_account, business_number, user_type, user_value, user_id,
    phone_e164, sender_kind, operator_id, price_category, price, price_currency, failed_code, first_us, clicked_us, read_us, sent_us,
    failed_us,
    CASE
      WHEN delivered_us IS NULL THEN read_us
      WHEN read_us < delivered_us THEN read_us
      ELSE delivered_us
    END AS delivered_us
  FROM (
    SELECT platform, message_id,
      max(conversation_id) AS conversation_id,
      max(channel_account) AS channel_account,
      max(business_number) AS business_number,
      max(user_type) AS user_type,
      max(user_value) AS user_value,
      max(user_id) AS user_id,
      max(phone_e164) AS phone_e164,
      max(sender_kind) AS sender_kind,
      max(operator_id) AS operator_id,
      max(price_category) AS price_category,
      max(price) AS price,
      max(price_currency) AS price_currency,
      max(failed_code) AS failed_code,
      min(at_us) AS first_us,
      min(CASE WHEN status = 'sent' THEN at_us END) AS sent_us,
      min(CASE WHEN status = 'delivered' THEN at_us END) AS delivered_us,
      min(CASE WHEN status IN ('read', 'played') THEN at_us END) AS read_us,
      min(CASE WHEN status = 'failed' THEN at_us END) AS failed_us,
      min(CASE WHEN status = 'clicked' THEN at_us END) AS clicked_us
    FROM c_message_statuses
    GROUP BY platform, message_id
  ) AS s
) AS d

-- A phone that people share of themselves, by Telegram's own button.
SELECT DISTINCT 'tg_user' AS left_type, json_text(m, 'from.id') AS left_value, 'phone' AS right_type,
       phone_e164('+' || translate(json_text(m, 'contact.phone_number'), '+ -()', ''), 'US') AS right_value,
       'telegram contact' AS evidence
FROM (SELECT coalesce(message, business_message) AS m FROM events) AS e
WHERE json_text(m, 'contact.user_id') = json_text(m, 'from.id')
  AND phone_e164('+' || translate(json_text(m, 'contact.phone_number'), '+ -()', ''), 'US') IS NOT NULL

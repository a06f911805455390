-- A WhatsApp number is a phone without its plus.
SELECT DISTINCT 'wa_user' AS left_type, person AS left_value, 'phone' AS right_type, phone AS right_value,
       'whatsapp export' AS evidence
FROM messages
WHERE phone IS NOT NULL

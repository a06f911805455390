-- A WhatsApp number is a phone without its plus; a business-scoped id is of one number; who changes the
-- number stays one person.
WITH numbers AS (
    SELECT "from" AS wa_id FROM messages
    UNION
    SELECT wa_id FROM contacts
    UNION
    SELECT recipient_id AS wa_id FROM statuses WHERE recipient_type IS DISTINCT FROM 'group'
    UNION
    SELECT "to" AS wa_id FROM message_echoes WHERE "to" IS DISTINCT FROM display_phone_number
)
SELECT 'wa_user' AS left_type, wa_id AS left_value, 'phone' AS right_type, phone_e164('+' || wa_id, 'US') AS right_value,
       'whatsapp' AS evidence
FROM numbers
WHERE phone_e164('+' || wa_id, 'US') IS NOT NULL
UNION
SELECT 'wa_user', user_id, 'wa_user', wa_id, 'whatsapp contact'
FROM contacts
WHERE user_id IS NOT NULL AND wa_id IS NOT NULL
UNION
SELECT 'wa_user', from_user_id, 'wa_user', "from", 'whatsapp contact'
FROM messages
WHERE from_user_id IS NOT NULL AND "from" IS NOT NULL
UNION
SELECT 'wa_user', "from", 'wa_user', json_text(system, 'wa_id'), 'whatsapp number change'
FROM messages
WHERE type = 'system' AND "from" IS NOT NULL AND json_text(system, 'wa_id') <> "from"
UNION
SELECT 'wa_user', json_text(update, 'user_id.previous'), 'wa_user', json_text(update, 'user_id.current'),
       'whatsapp number change'
FROM (SELECT value AS update FROM other WHERE field = 'user_id_update'
      UNION ALL
      SELECT unnest(json_list(value, 'user_id_update[*]')) AS update FROM other WHERE field = 'user_id_update')
WHERE json_text(update, 'user_id.previous') IS NOT NULL AND json_text(update, 'user_id.current') IS NOT NULL

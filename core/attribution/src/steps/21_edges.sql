-- Which identifiers belong together, as text, valid at all times.
SELECT 'visit' AS l_type, v.visit_id AS l_value, u.user_type AS r_type, u.user_value AS r_value, 'its token in a message' AS evidence
FROM x_token_visit AS v JOIN x_token_user AS u ON u.token = v.token
UNION
SELECT 'visit' AS l_type, v.visit_id AS l_value, 'crm_contact' AS r_type, c.contact_id AS r_value, 'its token in a deal' AS evidence
FROM x_token_visit AS v JOIN x_token_contact AS c ON c.token = v.token
UNION
SELECT 'visit' AS l_type, v.visit_id AS l_value, 'ym_client' AS r_type, v.ym_client_id AS r_value, 'browser of the visit' AS evidence
FROM c_visits AS v JOIN x_visit_node AS n ON n.visit_id = v.visit_id
WHERE v.ym_client_id IS NOT NULL
UNION
SELECT 'visit' AS l_type, v.visit_id AS l_value, 'ga_client' AS r_type, v.ga_client_id AS r_value, 'browser of the visit' AS evidence
FROM c_visits AS v JOIN x_visit_node AS n ON n.visit_id = v.visit_id
WHERE v.ga_client_id IS NOT NULL
UNION
SELECT 'ym_client' AS l_type, ym_client_id AS l_value, 'ga_client' AS r_type, ga_client_id AS r_value, 'one browser' AS evidence
FROM c_visits
WHERE ym_client_id IS NOT NULL AND ga_client_id IS NOT NULL
UNION
SELECT user_type AS l_type, user_value AS l_value, 'phone' AS r_type, phone_e164 AS r_value, 'message' AS evidence
FROM c_messages
WHERE phone_e164 IS NOT NULL
UNION
SELECT user_type AS l_type, user_value AS l_value, 'phone' AS r_type, phone_e164 AS r_value, 'delivery state' AS evidence
FROM c_message_statuses
WHERE phone_e164 IS NOT NULL AND user_value IS NOT NULL
UNION
-- A WhatsApp id of digits is the phone without its plus.
SELECT 'wa_user' AS l_type, user_id AS l_value, 'phone' AS r_type, '+' || user_id AS r_value, 'WhatsApp id' AS evidence
FROM (
  SELECT user_id FROM c_messages WHERE platform = 'whatsapp' AND user_id IS NOT NULL
  UNION
  SELECT user_id FROM c_message_statuses WHERE platform = 'whatsapp' AND user_id IS NOT NULL
) AS w
WHERE translate(user_id, '0123456789', '') = '' AND length(user_id) >= 8 AND length(user_id) <= 15
UNION
SELECT 'crm_contact' AS l_type, contact_id AS l_value, 'phone' AS r_type, phone_e164 AS r_value, 'CRM contact' AS evidence
FROM c_contacts
WHERE phone_e164 IS NOT NULL
UNION
SELECT 'crm_contact' AS l_type, contact_id AS l_value, 'email' AS r_type, lower(trim(email)) AS r_value, 'CRM contact' AS evidence
FROM c_contacts
WHERE email IS NOT NULL
UNION
SELECT left_type AS l_type,
  CASE WHEN left_type = 'email' THEN lower(trim(left_value)) ELSE left_value END AS l_value,
  right_type AS r_type,
  CASE WHEN right_type = 'email' THEN lower(trim(right_value)) ELSE right_value END AS r_value, 'identity_edges' AS evidence
FROM c_identity_edges
WHERE valid_from_us IS NULL AND valid_to_us IS NULL

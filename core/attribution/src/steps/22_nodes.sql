-- Every identifier, numbered from 1 by the rank of its type and its value: the smallest number of a
-- person is the canonical identifier.
SELECT CAST(row_number() OVER (ORDER BY rank, id_type, id_value) AS BIGINT) AS node, rank, id_type, id_value
FROM (
  SELECT id_type, id_value,
    CAST(CASE id_type
      WHEN 'crm_contact' THEN 0
      WHEN 'phone' THEN 10
      WHEN 'email' THEN 20
      WHEN 'wa_user' THEN 30
      WHEN 'tg_user' THEN 40
      WHEN 'vk_user' THEN 50
      WHEN 'viber_user' THEN 60
      WHEN 'fb_psid' THEN 70
      WHEN 'ym_client' THEN 80
      WHEN 'ga_client' THEN 90
      WHEN 'visit' THEN 100
      ELSE 75
    END AS BIGINT) AS rank
  FROM (
    SELECT l_type AS id_type, l_value AS id_value FROM x_edge_text
    UNION
    SELECT r_type AS id_type, r_value AS id_value FROM x_edge_text
    UNION
    SELECT left_type AS id_type,
      CASE WHEN left_type = 'email' THEN lower(trim(left_value)) ELSE left_value END AS id_value
    FROM c_identity_edges
    UNION
    SELECT right_type AS id_type,
      CASE WHEN right_type = 'email' THEN lower(trim(right_value)) ELSE right_value END AS id_value
    FROM c_identity_edges
    UNION
    SELECT user_type AS id_type, user_value AS id_value FROM c_messages
    UNION
    SELECT user_type AS id_type, user_value AS id_value FROM c_message_statuses WHERE user_value IS NOT NULL
    UNION
    SELECT user_type AS id_type, user_id AS id_value FROM c_consents
    UNION
    SELECT 'crm_contact' AS id_type, contact_id AS id_value FROM c_contacts
    UNION
    SELECT 'crm_contact' AS id_type, contact_id AS id_value FROM x_deal_contact
    UNION
    SELECT 'ym_client' AS id_type, ym_client_id AS id_value FROM c_visits WHERE ym_client_id IS NOT NULL
    UNION
    SELECT 'ga_client' AS id_type, ga_client_id AS id_value FROM c_visits WHERE ga_client_id IS NOT NULL
    UNION
    SELECT 'visit' AS id_type, visit_id AS id_value FROM c_visits
    WHERE ym_client_id IS NULL AND ga_client_id IS NULL
    UNION
    SELECT 'visit' AS id_type, visit_id AS id_value FROM x_visit_node
  ) AS ids
) AS ranked

-- What a chat ties to its visitor: the chat (so whoever forgets the visitor finds it), the phone, the browser, the
-- session, and the person that CoMagic takes several visitors for. A group chat is nobody's.
WITH own AS (SELECT * FROM chats WHERE NOT coalesce(is_group_chat, false) AND visitor_id IS NOT NULL),
ties AS (
    SELECT visitor_id, 'comagic_chat' AS type, id AS value, 'comagic chat' AS evidence FROM own
    UNION ALL
    SELECT visitor_id, 'phone', phone_e164('+' || nullif(translate(visitor_phone_number, '+ -()', ''), ''), 'US'),
           'comagic visitor' FROM own
    UNION ALL
    SELECT visitor_id, 'ym_client', nullif(nullif(ym_client_id, ''), '0'), 'comagic chat' FROM own
    UNION ALL
    SELECT visitor_id, 'ga_client', nullif(ua_client_id, ''), 'comagic chat' FROM own
    UNION ALL
    SELECT visitor_id, 'visit', 'comagic:' || visitor_session_id, 'comagic chat' FROM own
    UNION ALL
    SELECT visitor_id, 'comagic_person', person_id, 'comagic person' FROM own
)
SELECT DISTINCT 'comagic_user' AS left_type, visitor_id AS left_value, type AS right_type, value AS right_value, evidence
FROM ties
WHERE value IS NOT NULL

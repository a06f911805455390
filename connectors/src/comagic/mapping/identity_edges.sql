-- A visitor's phones, from the beginning of a chat and from his card; and his chats, because a message names its chat
-- alone: so whoever forgets the visitor finds the messages. The chat of a group is nobody's.
SELECT DISTINCT $platform || '_user' AS left_type, visitor_id AS left_value, 'phone' AS right_type,
       phone_e164('+' || translate(phone, '+ -()', ''), 'US') AS right_value, $platform || ' visitor' AS evidence
FROM (SELECT visitor_id, visitor_phone AS phone FROM events WHERE path = '/chat'
      UNION ALL
      SELECT visitor_id, unnest(json_list(phones, '[*]')) AS phone FROM events WHERE path = '/visitor/card')
WHERE visitor_id IS NOT NULL AND phone_e164('+' || translate(phone, '+ -()', ''), 'US') IS NOT NULL
UNION ALL
SELECT $platform || '_user', max(visitor_id), $platform || '_chat', chat_id, $platform || ' chat'
FROM events
WHERE path = '/chat' AND chat_id IS NOT NULL AND visitor_id IS NOT NULL
GROUP BY chat_id
HAVING count(DISTINCT visitor_id) = 1

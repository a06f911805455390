-- A visitor's phones, from the beginning of a chat and from his card.
SELECT DISTINCT $platform || '_user' AS left_type, visitor_id AS left_value, 'phone' AS right_type,
       phone_e164('+' || translate(phone, '+ -()', ''), 'US') AS right_value, $platform || ' visitor' AS evidence
FROM (SELECT visitor_id, visitor_phone AS phone FROM events WHERE path = '/chat'
      UNION ALL
      SELECT visitor_id, unnest(json_list(phones, '[*]')) AS phone FROM events WHERE path = '/visitor/card')
WHERE visitor_id IS NOT NULL AND phone_e164('+' || translate(phone, '+ -()', ''), 'US') IS NOT NULL

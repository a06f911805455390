-- Who wrote first with a token. Others who wrote with it got it forwarded and do not own its visit.
SELECT token, user_type, user_value,
  CASE WHEN first_user = last_user THEN 0 ELSE 1 END AS contested
FROM (
  SELECT token, user_type, user_value,
    row_number() OVER (PARTITION BY token ORDER BY ts_us, user_type, user_value, message_id) AS rn,
    min(user_type || ':' || user_value) OVER (PARTITION BY token) AS first_user,
    max(user_type || ':' || user_value) OVER (PARTITION BY token) AS last_user
  FROM c_messages
  WHERE direction = 'in' AND token IS NOT NULL
) AS m
WHERE rn = 1

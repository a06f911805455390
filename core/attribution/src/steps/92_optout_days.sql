-- Opt-outs, each person once a day and platform, at the number that was told if any was.
SELECT day_n, platform, business_number, CAST(count(*) AS BIGINT) AS unsubscribes
FROM (
  SELECT c.day_n, c.platform, c.user_value, max(coalesce(m.business_number, '')) AS business_number
  FROM x_consent AS c
  LEFT JOIN x_message AS m ON 'message:' || m.platform || ':' || m.message_id = c.consent_id
  WHERE c.action = 'opt_out'
  GROUP BY c.day_n, c.platform, c.user_value
) AS e
GROUP BY day_n, platform, business_number

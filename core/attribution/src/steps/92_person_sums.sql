-- Persons by what happened to them at one number on one day.
SELECT day_n, platform, business_number,
  CAST(count(*) AS BIGINT) AS persons,
  CAST(sum(delivered) AS BIGINT) AS delivered_persons,
  CAST(sum(delivered * clicked) AS BIGINT) AS clicked_persons,
  CAST(sum(reached) AS BIGINT) AS messaged_persons,
  CAST(sum(reached_converted) AS BIGINT) AS messaged_converted,
  CAST(sum(inquired) AS BIGINT) AS inquiring_persons,
  CAST(sum(inquired_converted) AS BIGINT) AS inquiring_converted,
  CAST(sum(recipient) AS BIGINT) AS recipients,
  CAST(sum(consented) AS BIGINT) AS recipients_consented
FROM x_person_day
GROUP BY day_n, platform, business_number

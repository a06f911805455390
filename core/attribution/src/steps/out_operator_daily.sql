SELECT day_n AS date, operator_id, platform, inquiries, answered, missed, transferred,
  CAST(transferred AS DOUBLE) / CAST(nullif(inquiries, 0) AS DOUBLE) AS transferred_share,
  turns, response_s AS response_sum_s,
  CAST(response_s AS DOUBLE) / CAST(nullif(turns, 0) AS DOUBLE) AS avg_response_s,
  response_open_s AS response_working_sum_s,
  CAST(response_open_s AS DOUBLE) / CAST(nullif(turns, 0) AS DOUBLE) AS avg_response_working_s,
  messages, hours AS active_hours,
  CAST(inquiries AS DOUBLE) / CAST(nullif(hours, 0) AS DOUBLE) AS inquiries_per_hour,
  CAST(turns AS DOUBLE) / CAST(nullif(hours, 0) AS DOUBLE) AS turns_per_hour,
  CAST(messages AS DOUBLE) / CAST(nullif(hours, 0) AS DOUBLE) AS messages_per_hour,
  csat_sum, csat_n, sales, net_minor AS net
FROM x_operator_fact

-- Conversions of the report window.
SELECT conv_n, conversion_id, type, ts_us, day_n, person, status, original_minor, currency, deal_id, operator_id,
  gross_minor, net_minor, is_new,
  ts_us - $lookback_us AS from_us,
  CASE WHEN $reset THEN coalesce(previous_us, -9000000000000000000) ELSE -9000000000000000000 END AS after_us
FROM x_conv
WHERE ts_us >= $from_us AND ts_us < $to_us
  AND NOT ($exclude_refunded AND refund_minor > 0 AND net_minor <= 0)

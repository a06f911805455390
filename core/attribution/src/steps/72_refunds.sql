-- Money given back, on the conversion it belongs to: the one named, else the deal's won one.
SELECT refund_id, conv_n, day_n, currency, value_minor
FROM (
  SELECT refund_id, conv_n, day_n, currency, value_minor,
    row_number() OVER (PARTITION BY refund_id ORDER BY preference, conv_n) AS rn
  FROM (
    SELECT r.refund_id, c.conv_n, c.day_n, coalesce(upper(trim(r.currency)), c.currency) AS currency, r.value_minor,
      0 AS preference
    FROM c_refunds AS r
    JOIN x_conv_raw AS c ON c.conversion_id = r.conversion_id
    UNION ALL
    SELECT r.refund_id, c.conv_n, c.day_n, coalesce(upper(trim(r.currency)), c.currency) AS currency, r.value_minor,
      1 AS preference
    FROM c_refunds AS r
    JOIN x_conv_raw AS c ON c.deal_id = r.deal_id
    WHERE c.type <> 'lead' AND c.type <> 'qualified'
  ) AS c
) AS r
WHERE rn = 1

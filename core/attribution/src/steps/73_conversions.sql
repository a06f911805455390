-- Conversions with their money in the reporting currency, each record converted once at the rate of the
-- conversion's day, and with what came before them in the whole history.
SELECT conv_n, conversion_id, type, ts_us, day_n, person, status, original_minor, currency, deal_id, operator_id,
  gross_minor, refund_minor, gross_minor - refund_minor AS net_minor,
  CASE WHEN person IS NULL OR first_won IS NULL OR first_won >= conv_n THEN true ELSE false END AS is_new,
  CASE WHEN person IS NULL THEN NULL ELSE previous_us END AS previous_us
FROM (
  SELECT conv_n, conversion_id, type, ts_us, day_n, person, status, original_minor, currency, deal_id, operator_id,
    gross_minor, refund_minor,
    first_won,
    lag(ts_us) OVER (PARTITION BY person, type ORDER BY conv_n) AS previous_us
  FROM (
    SELECT c.conv_n, c.conversion_id, c.type, c.ts_us, c.day_n, c.person, c.status, c.original_minor, c.currency,
      c.deal_id, c.operator_id,
      CASE
        WHEN c.value_minor = 0 THEN CAST(0 AS BIGINT)
        WHEN c.currency = $reporting THEN c.value_minor
        ELSE CAST(CAST(CAST(c.value_minor AS DECIMAL(16,0)) * f.rate AS DECIMAL(26,0)) AS BIGINT)
      END AS gross_minor,
      coalesce(r.refund_minor, 0) AS refund_minor, w.first_won
    FROM x_conv_raw AS c
    LEFT JOIN p_rate AS f ON f.currency = c.currency AND f.day_n = c.day_n
    LEFT JOIN (
      SELECT conv_n, CAST(sum(refund_minor) AS BIGINT) AS refund_minor
      FROM (
        SELECT s.conv_n,
          CASE
            WHEN s.currency = $reporting THEN s.value_minor
            ELSE CAST(CAST(CAST(s.value_minor AS DECIMAL(16,0)) * f.rate AS DECIMAL(26,0)) AS BIGINT)
          END AS refund_minor
        FROM (
          SELECT conv_n, day_n, currency, CAST(sum(value_minor) AS BIGINT) AS value_minor
          FROM x_refund
          GROUP BY conv_n, day_n, currency
        ) AS s
        LEFT JOIN p_rate AS f ON f.currency = s.currency AND f.day_n = s.day_n
      ) AS m
      GROUP BY conv_n
    ) AS r ON r.conv_n = c.conv_n
    LEFT JOIN (
      SELECT person, min(conv_n) AS first_won
      FROM x_conv_raw
      WHERE type = 'won' AND person IS NOT NULL
      GROUP BY person
    ) AS w ON w.person = c.person
  ) AS m
) AS h

-- What deals reached, and conversions prepared elsewhere, numbered by instant and id. Only won deals
-- carry money; what a lead may bring is no income.
SELECT CAST(row_number() OVER (ORDER BY ts_us, conversion_id) AS BIGINT) AS conv_n, conversion_id, type, ts_us,
  CAST(round(CAST(ts_us - ((ts_us % 86400000000) + 86400000000) % 86400000000 AS DOUBLE)
    / CAST(86400000000 AS DOUBLE)) AS BIGINT) AS day_n,
  person, status, value_minor, original_minor, coalesce(upper(trim(currency)), $reporting) AS currency, deal_id,
  operator_id
FROM (
  SELECT 'lead:' || deal_id AS conversion_id, 'lead' AS type, created_us AS ts_us, person, status,
    CAST(0 AS BIGINT) AS value_minor, value_minor AS original_minor, currency, deal_id, operator_id
  FROM x_deal
  WHERE $with_lead
  UNION ALL
  SELECT 'qualified:' || d.deal_id AS conversion_id, 'qualified' AS type,
    coalesce(e.at_us, d.updated_us, d.created_us) AS ts_us, d.person, d.status,
    CAST(0 AS BIGINT) AS value_minor, d.value_minor AS original_minor, d.currency, d.deal_id, d.operator_id
  FROM x_deal AS d
  LEFT JOIN (
    SELECT v.deal_id, min(v.at_us) AS at_us
    FROM c_deal_events AS v
    JOIN p_qualified AS q ON q.status_id = v.status_after
    GROUP BY v.deal_id
  ) AS e ON e.deal_id = d.deal_id
  LEFT JOIN p_qualified AS q ON q.status_id = d.status_id
  WHERE $with_qualified AND (e.deal_id IS NOT NULL OR q.status_id IS NOT NULL)
  UNION ALL
  SELECT 'won:' || deal_id AS conversion_id, 'won' AS type, closed_us AS ts_us, person, status,
    value_minor, value_minor AS original_minor, currency, deal_id, operator_id
  FROM x_deal
  WHERE state = 'won' AND $with_won
  UNION ALL
  SELECT c.conversion_id, coalesce(c.type, 'won') AS type, c.ts_us, p.person, c.status,
    coalesce(c.value_minor, 0) AS value_minor, coalesce(c.value_minor, 0) AS original_minor, c.currency, c.deal_id,
    CAST(NULL AS VARCHAR) AS operator_id
  FROM c_conversions AS c
  JOIN x_prepared_person AS p ON p.person_id = c.person_id
) AS u

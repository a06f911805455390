-- Operators that messages and deals name.
SELECT operator_id, CAST(count(*) AS BIGINT) AS records
FROM (
  SELECT operator_id FROM x_message WHERE operator_id IS NOT NULL
  UNION ALL
  SELECT operator_id FROM x_deal WHERE operator_id IS NOT NULL
) AS o
GROUP BY operator_id

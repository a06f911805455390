-- Orders as deals. $shop is the option of that name; functions are in docs/sql-functions.md.
SELECT '{{NAME}}:' || $shop || ':' || CAST(id AS VARCHAR) AS deal_id,
       title                                              AS name,
       parse_instant(created_at, 'UTC')                   AS created_at,
       parse_instant(updated_at, 'UTC')                   AS updated_at,
       CASE state WHEN 'paid' THEN 'won'
                  WHEN 'cancelled' THEN 'lost'
                  ELSE 'open' END                         AS state,
       CAST(total * 100 AS BIGINT)                        AS value_minor,
       'EUR'                                              AS currency
FROM orders

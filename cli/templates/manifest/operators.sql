SELECT '{{NAME}}:' || $shop || ':' || CAST(id AS VARCHAR) AS operator_id,
       name
FROM managers

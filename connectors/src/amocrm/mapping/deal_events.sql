SELECT 'amocrm:' || $subdomain || ':' || id                                AS event_id,
       'amocrm:' || $subdomain || ':' || CAST(entity_id AS VARCHAR)        AS deal_id,
       unix_to_instant(created_at)                                        AS at,
       CASE type
           WHEN 'lead_added' THEN 'created'
           WHEN 'lead_status_changed' THEN 'status_changed'
           WHEN 'lead_deleted' THEN 'deleted'
           WHEN 'lead_restored' THEN 'restored'
           WHEN 'entity_responsible_changed' THEN 'owner_changed'
           WHEN 'sale_field_changed' THEN 'value_changed'
           ELSE 'other'
       END                                                                AS kind,
       json_text(value_before, '[0].lead_status.id')                      AS status_before,
       json_text(value_after, '[0].lead_status.id')                       AS status_after,
       -- 0 is the robot.
       'amocrm:' || $subdomain || ':' || CAST(nullif(created_by, 0) AS VARCHAR)
                                                                          AS operator_id
FROM events
WHERE entity_type = 'lead'

-- Leads as they stand now. A lead may be known both from the list and from the basket: the version changed last
-- counts, and of two equal ones the basket's. The basket is small and stands on the side of a join that is held in
-- memory; a sort of all versions would go over every lead's whole text.
WITH known AS (
    SELECT l.id, l.name, coalesce(l.price_with_minor_units, l.price) AS amount, l.responsible_user_id, l.status_id,
           l.pipeline_id, l.created_at, l.updated_at, l.closed_at, coalesce(l.is_deleted, FALSE) AS is_deleted,
           l.custom_fields_values, l._embedded
    FROM (SELECT id, coalesce(updated_at, 0) AS at FROM deleted_leads) b
    RIGHT JOIN leads l ON l.id = b.id
    WHERE b.id IS NULL OR b.at < coalesce(l.updated_at, 0)
    UNION ALL
    SELECT b.id, b.name, coalesce(b.price_with_minor_units, b.price) AS amount, b.responsible_user_id, b.status_id,
           b.pipeline_id, b.created_at, b.updated_at, b.closed_at, TRUE AS is_deleted,
           b.custom_fields_values, b._embedded
    FROM deleted_leads b
    LEFT JOIN (SELECT id, coalesce(updated_at, 0) AS at FROM leads) l ON l.id = b.id
    WHERE l.id IS NULL OR l.at <= coalesce(b.updated_at, 0)
),
statuses AS (
    SELECT pipeline_id, pipeline, json_int(status, 'id') AS status_id, json_text(status, 'name') AS status
    FROM (
        SELECT id AS pipeline_id, name AS pipeline, unnest(json_list(_embedded, 'statuses[*]')) AS status
        FROM pipelines
    ) stages
),
-- The currency is the account's, no lead tells it.
money AS (
    SELECT coalesce($currency, max(currency)) AS currency FROM account
),
priced AS (
    SELECT known.*, money.currency FROM money CROSS JOIN known
)
SELECT 'amocrm:' || $subdomain || ':' || CAST(l.id AS VARCHAR)                     AS deal_id,
       unix_to_instant(l.created_at)                                              AS created_at,
       -- 142 and 143 end every pipeline.
       CASE l.status_id WHEN 142 THEN 'won' WHEN 143 THEN 'lost' ELSE 'open' END  AS state,
       nullif(l.name, '')                                                         AS name,
       'amocrm:' || $subdomain || ':' || coalesce(json_text(l._embedded, 'contacts[is_main=true].id'),
                                                  json_text(l._embedded, 'contacts[0].id'))
                                                                                  AS contact_id,
       s.pipeline                                                                 AS pipeline,
       CAST(l.status_id AS VARCHAR)                                               AS status_id,
       s.status                                                                   AS status,
       minor_units(l.amount, l.currency)                                          AS value_minor,
       l.currency                                                                 AS currency,
       CASE WHEN l.status_id IN (142, 143) THEN unix_to_instant(l.closed_at) END  AS closed_at,
       unix_to_instant(l.updated_at)                                              AS updated_at,
       'amocrm:' || $subdomain || ':' || CAST(nullif(l.responsible_user_id, 0) AS VARCHAR)
                                                                                  AS operator_id,
       coalesce(bare_token(json_text(l.custom_fields_values, '[field_id=' || $token_field || '].values[0].value')),
                bare_token(json_text(l.custom_fields_values, '[field_code=' || $token_field || '].values[0].value')),
                visit_token(json_text(l.custom_fields_values, '[field_id=' || $token_field || '].values[0].value')),
                visit_token(json_text(l.custom_fields_values, '[field_code=' || $token_field || '].values[0].value')))
                                                                                  AS token,
       nullif(json_text(l.custom_fields_values, '[field_code=UTM_SOURCE].values[0].value'), '')
                                                                                  AS source,
       nullif(json_text(l.custom_fields_values, '[field_code=UTM_MEDIUM].values[0].value'), '')
                                                                                  AS medium,
       nullif(json_text(l.custom_fields_values, '[field_code=UTM_CAMPAIGN].values[0].value'), '')
                                                                                  AS campaign,
       CASE WHEN l.status_id = 143 THEN json_text(l._embedded, 'loss_reason[0].name') END
                                                                                  AS lost_reason,
       json_list(l._embedded, 'tags[*].name')                                     AS tags,
       l.is_deleted                                                               AS is_deleted
FROM statuses s
RIGHT JOIN priced l ON s.pipeline_id = l.pipeline_id AND s.status_id = l.status_id

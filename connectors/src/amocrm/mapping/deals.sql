-- Leads as they stand now. A lead may be known both from the list and from the basket: the version changed last
-- counts, and of two equal ones the basket's.
WITH known AS (
    SELECT id, name, coalesce(price_with_minor_units, price) AS amount, responsible_user_id, status_id,
           pipeline_id, created_at, updated_at, closed_at, coalesce(is_deleted, FALSE) AS is_deleted,
           custom_fields_values, _embedded, 0 AS from_basket
    FROM leads
    UNION ALL
    SELECT id, name, coalesce(price_with_minor_units, price) AS amount, responsible_user_id, status_id,
           pipeline_id, created_at, updated_at, closed_at, TRUE AS is_deleted,
           custom_fields_values, _embedded, 1 AS from_basket
    FROM deleted_leads
),
ranked AS (
    SELECT known.*,
           row_number() OVER (PARTITION BY id ORDER BY coalesce(updated_at, 0) DESC, from_basket DESC) AS n
    FROM known
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
       minor_units(l.amount, m.currency)                                          AS value_minor,
       m.currency                                                                 AS currency,
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
FROM ranked l
CROSS JOIN money m
LEFT JOIN statuses s ON s.pipeline_id = l.pipeline_id AND s.status_id = l.status_id
WHERE l.n = 1

-- Of open deals the list that is read every time counts, of others what they had when they changed.
WITH links AS (
    SELECT coalesce(o.deal_id, c.deal_id) AS deal_id,
           CASE WHEN o.deal_id IS NOT NULL THEN o.contacts ELSE c.contacts END AS contacts
    FROM deal_contacts c
    FULL JOIN open_deal_contacts o ON c.deal_id = o.deal_id
),
merged AS (
    SELECT old_id, min(id) AS new_id
    FROM (
        SELECT id, unnest(string_to_array(json_text(properties, 'hs_merged_object_ids'), ';')) AS old_id FROM contacts
    ) m
    WHERE old_id <> '' AND old_id <> id
    GROUP BY old_id
),
each_one AS (
    SELECT deal_id, json_text(contacts, '[0].toObjectId') AS main, unnest(json_list(contacts, '[*].toObjectId')) AS contact
    FROM links
)
SELECT 'hubspot:' || $hub_id || ':' || l.deal_id                           AS deal_id,
       'hubspot:' || $hub_id || ':' || coalesce(m.new_id, l.contact)       AS contact_id,
       bool_or(l.contact = l.main)                                         AS is_main
FROM merged m
RIGHT JOIN each_one l ON m.old_id = l.contact
GROUP BY l.deal_id, coalesce(m.new_id, l.contact)

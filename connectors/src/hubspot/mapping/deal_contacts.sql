-- Of open deals the list that is read every time counts, of others what they had when they changed.
WITH links AS (
    SELECT coalesce(o.deal_id, c.deal_id) AS deal_id,
           CASE WHEN o.deal_id IS NOT NULL THEN o.contacts ELSE c.contacts END AS contacts
    FROM deal_contacts c
    FULL JOIN open_deal_contacts o ON c.deal_id = o.deal_id
),
merges AS (
    SELECT id AS new_id, split_part(entry, ':', 1) AS old_id
    FROM (
        SELECT id, unnest(string_to_array(concat_ws(';', json_text(properties, 'hs_merged_object_ids'),
                                                         json_text(properties, 'hs_calculated_merged_vids')), ';')) AS entry
        FROM contacts
    ) m
    WHERE split_part(entry, ':', 1) NOT IN ('', id)
),
merged AS (
    SELECT m.old_id, min(m.new_id) AS new_id
    FROM (SELECT DISTINCT old_id FROM merges) gone
    RIGHT JOIN merges m ON gone.old_id = m.new_id
    WHERE gone.old_id IS NULL
    GROUP BY m.old_id
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

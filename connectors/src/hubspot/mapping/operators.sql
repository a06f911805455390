WITH known AS (
    SELECT id, email, "firstName", "lastName", teams, "userId" AS user_id FROM owners
    UNION ALL
    SELECT a.id, a.email, a."firstName", a."lastName", a.teams, coalesce(a."userIdIncludingInactive", a."userId")
    FROM archived_owners a
    LEFT JOIN (SELECT id FROM owners) o ON o.id = a.id
    WHERE o.id IS NULL
)
SELECT 'hubspot:' || $hub_id || ':' || id                                        AS operator_id,
       nullif(concat_ws(' ', nullif(trim("firstName"), ''), nullif(trim("lastName"), '')), '')
                                                                                 AS name,
       nullif(lower(trim(email)), '')                                            AS email,
       coalesce(json_text(teams, '[primary=true].name'), json_text(teams, '[0].name'))
                                                                                 AS team,
       id                                                                        AS crm_user_id
FROM known

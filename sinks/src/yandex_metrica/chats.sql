-- One row per inquiry, with the visit it grew from: the matched one, else the person's last before it.
SELECT id, at, platform, username, user_id_there, phone, client_id, yclid, visit_at
FROM (
  SELECT i.inquiry_id AS id, i.ts AS at, i.platform, i.username, i.messenger_user_id AS user_id_there,
    i.phone_e164 AS phone, v.ym_client_id AS client_id, v.yclid, v.ts AS visit_at,
    row_number() OVER (
      PARTITION BY i.inquiry_id
      ORDER BY CASE WHEN v.visit_id = i.visit_id THEN 0 ELSE 1 END, v.ts DESC, v.visit_id
    ) AS rn
  FROM inquiries AS i
  LEFT JOIN visits AS v ON v.person_id = i.person_id AND v.ts <= i.ts
    AND CASE WHEN $identifier = 'yclid' THEN v.yclid ELSE v.ym_client_id END IS NOT NULL
) AS found
WHERE rn = 1

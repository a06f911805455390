SELECT ts_us AS ts, from_person_id, into_person_id, id_type, id_value, reason
FROM c_previous_merges
UNION ALL
SELECT CAST($now_us AS BIGINT) AS ts, c.from_person_id, c.into_person_id, c.id_type, c.id_value,
  CASE WHEN c.is_merge = 1 THEN coalesce(r.reason, 'a stronger identifier is gone or known')
    ELSE 'parted: no longer tied to that person' END AS reason
FROM x_identity_change AS c
LEFT JOIN x_identity_reason AS r ON r.from_person_id = c.from_person_id

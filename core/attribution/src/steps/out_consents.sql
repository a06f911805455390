SELECT c.consent_id, p.person_id, c.platform, c.user_value AS user_id, c.ts_us AS ts, c.action, c.method, c.evidence
FROM x_consent AS c
LEFT JOIN x_person AS p ON p.person = c.person

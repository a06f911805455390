SELECT person, person_id FROM x_known_person
UNION ALL
SELECT person, person_id FROM x_prepared_person WHERE is_own = 1

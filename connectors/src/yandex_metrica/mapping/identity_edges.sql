-- A visit and the browser it was made with.
SELECT 'visit'                                                                                    AS left_type,
       'ym:' || $counter || ':' || substr("ym:s:dateTime", 1, 4) || ':' || "ym:s:visitID"         AS left_value,
       'ym_client'                                                                                AS right_type,
       "ym:s:clientID"                                                                            AS right_value,
       'yandex_metrica'                                                                           AS evidence
FROM visits
WHERE nullif(nullif("ym:s:clientID", ''), '0') IS NOT NULL

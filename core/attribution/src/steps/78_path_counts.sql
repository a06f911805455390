-- How many people went each path, by conversion type. Paths are channel numbers, joined by commas.
SELECT type_n, path, CAST(sum(conversions) AS BIGINT) AS conversions, CAST(sum(nulls) AS BIGINT) AS nulls,
  CAST(sum(gross_minor) AS BIGINT) AS gross_minor, CAST(sum(net_minor) AS BIGINT) AS net_minor
FROM x_journey
GROUP BY type_n, path

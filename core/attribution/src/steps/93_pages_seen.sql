-- Pages that visits began on, that were seen, and that prepared touches name, with their titles.
SELECT page_key, host, path, title, CAST(count(*) AS BIGINT) AS records
FROM (
  SELECT page_host || page_path AS page_key, page_host AS host, page_path AS path, CAST(NULL AS VARCHAR) AS title
  FROM c_visits
  UNION ALL
  SELECT page_host || page_path AS page_key, page_host AS host, page_path AS path, title
  FROM c_hits
  WHERE kind = 'page'
  UNION ALL
  SELECT page_host || page_path AS page_key, page_host AS host, page_path AS path, CAST(NULL AS VARCHAR) AS title
  FROM c_touches
) AS p
WHERE page_key IS NOT NULL
GROUP BY page_key, host, path, title

SELECT page_key, max(host) AS host, max(path) AS path, min(title) AS title
FROM x_page_seen
GROUP BY page_key

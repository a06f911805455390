-- Inquiries nothing explains, and the one click on a link to their number shortly before. Two clicks, or
-- two inquiries for one click, match nothing; so does a click whose visit wrote with its token.
SELECT inquiry_id, visit_id, person
FROM (
  SELECT inquiry_id, visit_id, person,
    count(*) OVER (PARTITION BY inquiry_id) AS clicks,
    count(*) OVER (PARTITION BY hit_id) AS claims
  FROM (
    SELECT q.inquiry_id, q.person, h.hit_id, h.visit_id
    FROM (
      SELECT d.inquiry_id, d.person, d.ts_us, translate(d.business_number, '+ -()', '') AS number,
        b.shift + CAST(round(CAST(d.ts_us - d.ts_us % $window_us AS DOUBLE) / CAST($window_us AS DOUBLE)) AS BIGINT) AS bucket
      FROM x_direct_match AS d
      LEFT JOIN x_known_before AS k ON k.inquiry_id = d.inquiry_id
      CROSS JOIN (SELECT CAST(0 AS BIGINT) AS shift UNION ALL SELECT CAST(-1 AS BIGINT) AS shift) AS b
      WHERE d.match_method IS NULL AND k.inquiry_id IS NULL AND d.business_number IS NOT NULL
    ) AS q
    JOIN (
      SELECT hit_id, visit_id, at_us, url,
        CAST(round(CAST(at_us - at_us % $window_us AS DOUBLE) / CAST($window_us AS DOUBLE)) AS BIGINT) AS bucket
      FROM c_hits
      WHERE kind = 'messenger_link' AND visit_id IS NOT NULL AND url IS NOT NULL
    ) AS h ON h.bucket = q.bucket
    LEFT JOIN (SELECT DISTINCT token_visit FROM x_inquiry WHERE token_visit IS NOT NULL) AS taken
      ON taken.token_visit = h.visit_id
    WHERE h.at_us <= q.ts_us AND h.at_us >= q.ts_us - $window_us AND position(q.number IN h.url) > 0
      AND q.number <> '' AND taken.token_visit IS NULL
  ) AS c
) AS r
WHERE clicks = 1 AND claims = 1

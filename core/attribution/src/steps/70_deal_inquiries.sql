-- The inquiry a deal grew from: the one that brought the deal's own token, else the person's latest
-- within the look-back before the deal was made.
SELECT deal_id, inquiry_id
FROM (
  SELECT deal_id, inquiry_id,
    row_number() OVER (PARTITION BY deal_id ORDER BY preference, is_later, distance_us, inquiry_id) AS rn
  FROM (
    SELECT d.deal_id, q.inquiry_id, 0 AS preference,
      CASE WHEN q.ts_us > d.created_us THEN 1 ELSE 0 END AS is_later,
      CASE WHEN q.ts_us > d.created_us THEN q.ts_us - d.created_us ELSE d.created_us - q.ts_us END AS distance_us
    FROM x_deal AS d
    JOIN x_inquiry AS q ON q.token = d.token
    WHERE d.person IS NULL OR d.person = q.person
    UNION ALL
    SELECT d.deal_id, q.inquiry_id, 1 AS preference, 0 AS is_later, d.created_us - q.ts_us AS distance_us
    FROM x_deal AS d
    JOIN x_inquiry AS q ON q.person = d.person
    WHERE q.ts_us <= d.created_us AND q.ts_us >= d.created_us - $lookback_us
  ) AS c
) AS r
WHERE rn = 1

-- The ladder: token, deep link, ad referral, known person, click shortly before, nothing.
SELECT d.inquiry_id,
  CASE
    WHEN d.match_method IS NOT NULL THEN d.match_method
    WHEN k.inquiry_id IS NOT NULL THEN 'identity'
    WHEN w.inquiry_id IS NOT NULL THEN 'time_window'
    ELSE 'none'
  END AS match_method,
  coalesce(t.touch_n, k.touch_n, wt.touch_n) AS touch_n
FROM x_direct_match AS d
LEFT JOIN x_touch AS t ON t.touch_id = d.touch_id
LEFT JOIN x_known_before AS k ON k.inquiry_id = d.inquiry_id
LEFT JOIN x_window_match AS w ON w.inquiry_id = d.inquiry_id
LEFT JOIN x_touch AS wt ON wt.touch_id = 'visit:' || w.visit_id

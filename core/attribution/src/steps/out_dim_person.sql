SELECT p.person_id, f.first_us AS first_seen, f.last_us AS last_seen,
  CASE WHEN f.n_sales > 0 THEN true ELSE false END AS is_customer,
  f.region, f.segment, f.consent_state, f.consent_us AS consent_ts, f.n_inquiries, f.n_sales, f.ltv_minor AS ltv
FROM x_person_segment AS f
JOIN x_person AS p ON p.person = f.person

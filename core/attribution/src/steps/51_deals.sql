-- Deals that stand, with their person: the contact's, else that of the visit whose token they carry.
SELECT d.deal_id, d.created_at_us AS created_us,
  coalesce(d.closed_at_us, d.updated_at_us, d.created_at_us) AS closed_us,
  d.updated_at_us AS updated_us,
  d.state, coalesce(d.status, d.state) AS status, d.status_id, coalesce(d.value_minor, 0) AS value_minor, d.currency,
  d.operator_id, d.token, d.source, d.medium, d.campaign, d.tags, d.lead_id, c.contact_id,
  coalesce(i.person, v.person) AS person
FROM c_deals AS d
LEFT JOIN x_deal_contact AS c ON c.deal_id = d.deal_id
LEFT JOIN x_id AS i ON i.id_type = 'crm_contact' AND i.id_value = c.contact_id
LEFT JOIN x_token_visit AS t ON t.token = d.token
LEFT JOIN x_visit AS v ON v.visit_id = t.visit_id
WHERE NOT coalesce(d.is_deleted, false)

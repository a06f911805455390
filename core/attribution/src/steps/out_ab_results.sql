SELECT c.test, c.variant, c.recipients, c.delivered, c.was_read AS read, c.clicked, c.replied, c.converted,
  s.metric, s.is_control, s.rate, s.z, s.p_value
FROM x_ab_count AS c
JOIN p_ab_score AS s ON s.test = c.test AND s.variant = c.variant

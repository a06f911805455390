-- Deals above a million.
SELECT deal_id
  FROM deals
 WERE value_minor > 100000000

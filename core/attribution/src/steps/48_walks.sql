-- One walk of a customer through one step of a bot's scenario. Events of one session are one walk, however
-- often it asks again; without a session every entrance begins another. Whatever happens in a step, it was
-- entered.
SELECT scenario, step, platform, conversation_id,
  min(at_us) AS entered_us,
  max(step_no) AS step_no,
  max(CASE WHEN kind = 'passed' THEN 1 ELSE 0 END) AS passed,
  max(CASE WHEN kind = 'escalated' THEN 1 ELSE 0 END) AS escalated,
  sum(CASE WHEN kind = 'fallback' THEN 1 ELSE 0 END) AS fallbacks
FROM (
  SELECT scenario, step, step_no, platform, conversation_id, kind, at_us, walker, session_id,
    CASE WHEN session_id IS NULL THEN sum(CASE WHEN kind = 'entered' THEN 1 ELSE 0 END) OVER (
      PARTITION BY scenario, step, walker ORDER BY at_us, kind_order, event_id
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) ELSE 0 END AS walk
  FROM (
    SELECT event_id, scenario, step, step_no, platform, conversation_id, kind, at_us, session_id,
      CASE WHEN kind = 'entered' THEN 0 ELSE 1 END AS kind_order,
      CASE WHEN session_id IS NOT NULL THEN 's:' || session_id
        ELSE 'c:' || coalesce(platform, '') || ':' || coalesce(conversation_id, event_id) END AS walker
    FROM c_scenario_events
  ) AS e
) AS w
GROUP BY scenario, step, platform, conversation_id, walker, walk

-- The share of every touch in its conversion by every rule model. They weigh in whole numbers (w of
-- w_sum), so that money can be split without a rounding error; time decay is relative to the newest
-- touch, so that old paths do not underflow.
SELECT conv_n, model_n, touch_n, pos, n, w, w_sum,
  CASE
    WHEN model = 'time_decay' THEN decay / sum(decay) OVER (PARTITION BY conv_n, model_n ORDER BY pos
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    ELSE CAST(w AS DOUBLE) / CAST(w_sum AS DOUBLE)
  END AS share
FROM (
  SELECT p.conv_n, m.model_n, m.model, p.touch_n, p.pos, p.n,
    CAST(CASE m.model
      WHEN 'first_touch' THEN CASE WHEN p.pos = 1 THEN 1 ELSE 0 END
      WHEN 'last_touch' THEN CASE WHEN p.pos = p.n THEN 1 ELSE 0 END
      WHEN 'last_non_direct' THEN CASE WHEN p.pos = coalesce(p.last_other, p.n) THEN 1 ELSE 0 END
      WHEN 'linear' THEN 1
      WHEN 'position_based' THEN CASE
        WHEN p.n = 1 THEN 1
        WHEN p.n = 2 AND p.pos = 1 THEN $first_weight
        WHEN p.n = 2 THEN $last_weight
        WHEN p.pos = 1 THEN $first_weight * (p.n - 2)
        WHEN p.pos = p.n THEN $last_weight * (p.n - 2)
        ELSE $between_weight
      END
      ELSE 0
    END AS BIGINT) AS w,
    CAST(CASE m.model
      WHEN 'linear' THEN p.n
      WHEN 'position_based' THEN CASE
        WHEN p.n = 1 THEN 1
        WHEN p.n = 2 THEN $first_weight + $last_weight
        ELSE ($first_weight + $last_weight + $between_weight) * (p.n - 2)
      END
      ELSE 1
    END AS BIGINT) AS w_sum,
    CASE WHEN m.model = 'time_decay' THEN
      power(CAST(2 AS DOUBLE), CAST(p.ts_us - p.newest_us AS DOUBLE) / CAST($half_life_us AS DOUBLE))
    END AS decay,
    m.model AS model_name
  FROM (
    SELECT x.conv_n, x.touch_n, x.ts_us, x.pos,
      CAST(count(*) OVER (PARTITION BY x.conv_n) AS BIGINT) AS n,
      max(x.ts_us) OVER (PARTITION BY x.conv_n) AS newest_us,
      max(CASE WHEN c.is_direct THEN NULL ELSE x.pos END) OVER (PARTITION BY x.conv_n) AS last_other
    FROM x_path AS x
    JOIN x_channel AS c ON c.channel_n = x.channel_n
  ) AS p
  CROSS JOIN p_model AS m
  WHERE m.model IN ('first_touch', 'last_touch', 'last_non_direct', 'linear', 'position_based', 'time_decay')
) AS s

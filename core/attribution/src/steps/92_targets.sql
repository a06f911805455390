-- What a message or inquiry should lead to.
SELECT person, ts_us FROM x_conv WHERE type = $target AND person IS NOT NULL

SELECT channel_id, channel_id AS channel, channel_group AS "group", is_paid, is_direct FROM x_channel

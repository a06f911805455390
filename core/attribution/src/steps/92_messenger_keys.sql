-- Days and numbers on which anything happened.
SELECT day_n, platform, business_number FROM x_message_day
UNION
SELECT day_n, platform, business_number FROM x_inquiry_day
UNION
SELECT day_n, platform, business_number FROM x_optout_day

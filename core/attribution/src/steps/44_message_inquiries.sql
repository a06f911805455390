-- Which inquiry a message belongs to, if any.
SELECT platform, message_id, rn, opener_rn, session_inquiry AS inquiry_id
FROM x_session
WHERE rn >= opener_rn

-- Platforms that messages come from.
SELECT platform FROM c_messages
UNION
SELECT platform FROM c_message_statuses

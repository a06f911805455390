-- Platforms that report delivery at all. What was read was delivered.
SELECT DISTINCT platform FROM c_message_statuses WHERE status IN ('delivered', 'read', 'played')

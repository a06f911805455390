-- Platforms that report reads at all: Telegram bots do not.
SELECT DISTINCT platform FROM c_message_statuses WHERE status IN ('read', 'played')

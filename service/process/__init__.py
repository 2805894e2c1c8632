"""The process that the service runs in: shutdown, memory and processors."""

"""What the service tells its operators: logs, metrics, traces, and how long the event loop was blocked."""

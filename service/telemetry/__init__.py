"""What the service tells its operators: logs, traces, and how long the event loop was kept. Metrics are in service/metrics.py."""

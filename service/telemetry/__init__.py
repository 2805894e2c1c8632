"""Telemetry: logs, metrics, traces and event loop lag."""

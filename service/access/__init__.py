"""Who may call the service: API keys, signed tokens and TLS."""

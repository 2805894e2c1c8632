"""Generated from proto/ by scripts/proto. Never edited, and imported by service.rpc and service.client alone."""

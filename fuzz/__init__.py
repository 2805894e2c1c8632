"""Inputs that nobody should send, and what looks for more of them. Needs the extra `dev`; no part of the service."""

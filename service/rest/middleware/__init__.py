"""ASGI middlewares, one a file."""

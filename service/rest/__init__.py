"""The HTTP edge: parse, ask the core, format."""

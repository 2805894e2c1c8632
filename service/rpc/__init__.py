"""The gRPC edge: parse, ask the core, format."""

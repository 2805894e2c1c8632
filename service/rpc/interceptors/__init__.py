"""The gRPC interceptors: observation, authentication, and how requests are read."""

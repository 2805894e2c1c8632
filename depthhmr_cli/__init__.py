"""The `depthhmr` command: the one place that knows both the network and the service."""

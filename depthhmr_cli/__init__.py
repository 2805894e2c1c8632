"""The `depthhmr` command, the only package that imports both the network and the service."""

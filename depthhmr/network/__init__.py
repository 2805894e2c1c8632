"""The network: one image in, K people out. Knows nothing of its training."""

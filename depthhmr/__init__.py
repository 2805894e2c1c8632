"""The DepthHMR network: data, model, training, evaluation, export. Knows nothing of the service."""

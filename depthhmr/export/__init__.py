"""A trained network becomes a model folder: what is examined before, and what is written then."""

"""Scores of any network that honours the tensor contract, on rendered people and on photographs."""

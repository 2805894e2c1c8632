"""Export of a trained network to a model folder, and the checks before it is written."""

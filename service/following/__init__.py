"""The same person from frame to frame: tracking and smoothing."""

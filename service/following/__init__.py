"""Following people from frame to frame: tracking and smoothing."""

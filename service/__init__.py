"""The service: images in over HTTP, 3D people out. Needs no torch."""

__version__ = "0.1.0"

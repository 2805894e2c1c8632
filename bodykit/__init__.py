"""Shared by the network and the service: body, skinning, camera, letterbox, rasteriser, manifest, mesh files."""

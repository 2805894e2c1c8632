"""What the network and the service agree on: body, skinning, camera, letterbox, rasteriser, manifest, mesh files."""

"""What a reply can be: JSON, meshes, overlays and archives."""

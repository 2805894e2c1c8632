"""The service against its peers and against a plain loop: see README.md in this folder."""

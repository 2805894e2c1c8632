"""The compiled code behind meshes and overlays, loaded before the first request that needs it."""

import importlib

# Each compiles its kernels with numba when it is imported: about 0.8 s of processor time from numba's cache, 5 to 10 s without.
MODULES = ("bodykit.skinning", "bodykit.raster", "service.formats.shading")


def load_kernels() -> None:
    """Import what draws and skins, which compiles it where no cache holds it."""
    for name in MODULES:
        importlib.import_module(name)

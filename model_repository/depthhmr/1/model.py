"""What Triton's Python backend loads; the package `depthhmr` must be installed in the server's Python."""

from service.engines.triton_model import TritonPythonModel

__all__ = ["TritonPythonModel"]

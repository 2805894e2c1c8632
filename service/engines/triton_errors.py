"""What Triton's errors mean to a client. Its own words stay in the log: they have leaked secrets before.

Sources: status codes of triton-inference-server/server (src/grpc), tried against release 24.10.
"""

from tritonclient.utils import InferenceServerException

from service.errors import (
    DeadlineExceeded,
    EngineFailed,
    EngineMismatch,
    EngineUnavailable,
    Overloaded,
    ServiceError,
)

# Triton says UNAVAILABLE for three different things; only its words tell them apart.
QUEUE_FULL = "Exceeds maximum queue size"
QUEUE_TIMEOUT = "Request timeout expired"


def translate(error: InferenceServerException) -> ServiceError:
    """The error that a client of this service gets instead."""
    code = str(error.status() or "").rpartition(".")[2]
    message = str(error.message() or "")
    if code == "UNAVAILABLE" and QUEUE_FULL in message:
        return Overloaded("the engine has too many images waiting; ask again in a moment")
    if code == "DEADLINE_EXCEEDED" or (code == "UNAVAILABLE" and QUEUE_TIMEOUT in message):
        return DeadlineExceeded("the engine did not answer in time")
    if code in ("UNAVAILABLE", "CANCELLED"):  # CANCELLED is what a server says that is going down
        return EngineUnavailable("the engine cannot be reached")
    if code == "NOT_FOUND":
        return EngineUnavailable("the engine has not loaded the network")
    if code in ("INVALID_ARGUMENT", "UNIMPLEMENTED"):
        return EngineMismatch("the engine does not take the network's tensors")
    return EngineFailed("the engine failed on this image")

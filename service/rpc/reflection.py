"""The standard reflection service (grpc.reflection.v1alpha), which tells clients what can be called."""

from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

PREFIXES = (f"/{reflection.SERVICE_NAME}/",)


def is_reflection(method: str) -> bool:
    """Whether `method` (/service/call) is a call of the reflection service."""
    return method.startswith(PREFIXES)


def reflection_handlers(services: Sequence[str]) -> tuple[grpc.GenericRpcHandler, ...]:
    """Handlers that describe `services` (full names) and themselves."""
    servicer = reflection.aio.ReflectionServicer([*services, reflection.SERVICE_NAME])
    calls = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    return (grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, calls),)

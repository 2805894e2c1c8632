"""The standard reflection service, which tells clients what can be called: grpc.reflection.v1, and v1alpha for older clients.

grpcio-reflection has v1alpha alone. The messages of v1 are the same under another package name.
"""

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1ALPHA = reflection.SERVICE_NAME
V1 = V1ALPHA.replace("v1alpha", "v1")
PREFIXES = (f"/{V1}/", f"/{V1ALPHA}/")


def is_reflection(method: str) -> bool:
    """Whether `method` (/service/call) is a call of the reflection service."""
    return method.startswith(PREFIXES)


def reflection_handlers(services: Sequence[str]) -> tuple[grpc.GenericRpcHandler, ...]:
    """Handlers of both versions that describe `services` (full names) and themselves."""
    _describe_v1()
    servicer = reflection.aio.ReflectionServicer([*services, V1, V1ALPHA])
    call = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    calls = {"ServerReflectionInfo": call}
    return tuple(grpc.method_handlers_generic_handler(name, calls) for name in (V1, V1ALPHA))


def _describe_v1() -> None:
    """Add the descriptor of v1, made from that of v1alpha, to the pool that reflection answers from."""
    proto = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(proto)
    text = text_format.MessageToString(proto).replace("v1alpha", "v1").replace("grpc_reflection/", "grpc/reflection/")
    v1 = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(v1.SerializeToString())

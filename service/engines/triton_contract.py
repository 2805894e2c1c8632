"""Whether a Triton server runs the network that this service was set up for."""

from collections.abc import Iterable, Iterator
from typing import Any

from bodykit.manifest import Manifest, TensorSpec
from bodykit.triton_config import DTYPES, SHA256_PARAMETER
from service.errors import EngineMismatch

NUMPY_DTYPES = {triton: name for name, triton in DTYPES.items()}


def check_contract(manifest: Manifest, config: Any) -> None:
    """Raise EngineMismatch, naming every difference, unless `config` (Triton's ModelConfig) is that of the manifest.

    A configuration that names no hash is believed: it was then written by hand, and names and shapes must do.
    """
    faults = list(_faults(manifest, config))
    if faults:
        raise EngineMismatch(
            f"the engine does not run the network {manifest.name} {manifest.version}: {'; '.join(faults)}"
        )


def _faults(manifest: Manifest, config: Any) -> Iterator[str]:
    found = config.parameters[SHA256_PARAMETER].string_value if SHA256_PARAMETER in config.parameters else ""
    if found and found != manifest.sha256:
        yield f"its sha256 is {found[:12]}..., expected {manifest.sha256[:12]}..."
    if config.max_batch_size < 1:
        yield f"it takes no batches (max_batch_size {config.max_batch_size})"
    yield from _tensor_faults("input", manifest.inputs, config.input)
    yield from _tensor_faults("output", manifest.outputs, config.output)
    known = {spec.name for spec in manifest.inputs}
    if surplus := sorted(tensor.name for tensor in config.input if tensor.name not in known and not tensor.optional):
        yield f"it wants inputs that nobody knows: {', '.join(surplus)}"


def _tensor_faults(side: str, specs: Iterable[TensorSpec], tensors: Iterable[Any]) -> Iterator[str]:
    by_name = {tensor.name: tensor for tensor in tensors}
    for spec in specs:
        tensor = by_name.get(spec.name)
        if tensor is None:
            yield f"it has no {side} {spec.name}"
            continue
        dtype = NUMPY_DTYPES.get(_type_name(tensor), _type_name(tensor))
        dims = tuple(tensor.dims)
        agree = len(dims) == len(spec.shape) - 1 and all(
            got in (-1, wanted) for got, wanted in zip(dims, spec.shape[1:], strict=True)
        )
        if dtype != spec.dtype or not agree:
            yield f"its {side} {spec.name} is {dtype} {list(dims)}, expected {spec.dtype} {list(spec.shape[1:])}"


def _type_name(tensor: Any) -> str:
    field = tensor.DESCRIPTOR.fields_by_name["data_type"]
    return str(field.enum_type.values_by_number[tensor.data_type].name)

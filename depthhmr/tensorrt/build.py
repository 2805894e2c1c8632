"""From model.onnx to a plan that Triton serves, step by step; each step reports what it found.

All steps that need no GPU come first: the graph is converted, its operators are checked and its rounding is simulated on the
CPU. Then TensorRT builds the plan, which must agree with ONNX Runtime to be kept.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import onnx

from bodykit.errors import UserError
from bodykit.manifest import Manifest, sha256_of
from depthhmr.tensorrt import choice, operators
from depthhmr.tensorrt.builder import Device, Profile, build_plan, find_device, open_tensorrt
from depthhmr.tensorrt.compare import Comparison, compare
from depthhmr.tensorrt.graph import cast_first, facts_of, fold, load_graph
from depthhmr.tensorrt.pictures import Pictures, from_folder, synthetic
from depthhmr.tensorrt.plan import Key, PlanFolder, read_config
from depthhmr.tensorrt.precision import convert, half_nodes, rehearsal
from depthhmr.tensorrt.runner import REFERENCE_BATCH, Answers, PlanRunner, ask, graph_runner

Say = Callable[[str], None]
WORKSPACE_MB = 2048  # TensorRT's limit while it times kernels; the graph's largest tensor has 40 MB at batch 8
FAULTS_SHOWN = 10


@dataclass(frozen=True)
class Options:
    """The options of a build."""

    model_dir: Path
    out: Path
    precision: str = "mixed"
    batches: tuple[int, ...] | None = None  # smallest, common, largest; None: 1, 4 or fewer, max_batch_size
    images: Path | None = None
    workspace_mb: int = WORKSPACE_MB
    graph: Path | None = None  # where to keep the converted graph
    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True)
class Converted:
    """The graph for TensorRT."""

    model: onnx.ModelProto
    content: bytes
    sha256: str


@dataclass(frozen=True)
class Machine:
    """TensorRT and the GPU that a plan is built with and for."""

    trt: ModuleType
    device: Device


def build(options: Options, say: Say) -> Path | None:
    """Builds the plan, or keeps a matching one on disk -> its path; None after a dry run. Raises UserError."""
    manifest = Manifest.read(options.model_dir)
    content = manifest.verified_onnx(options.model_dir)
    config = read_config(options.model_dir)
    batches = check_batches(options.batches, config.max_batch_size)
    if options.workspace_mb < 1:
        raise UserError(f"expected --workspace-mb of at least 1, got {options.workspace_mb}")
    say(f"1  model      {manifest.name} {manifest.version} in {options.model_dir}, sha256 {manifest.sha256[:12]}...")
    converted = convert_graph(content, options.precision, say)
    if options.graph:
        keep(options.graph, converted.content)
        say(f"              written to {options.graph}")
    check_operators(converted.model, say)
    machine = find_machine(options, say)
    key = key_of(machine, manifest, converted, options.precision, batches)
    folder = PlanFolder(options.out / manifest.name)
    if fits(folder, key, options, say):
        if not options.dry_run:
            folder.write_config(config.text)
        return folder.plan
    if not options.dry_run:
        folder.prepare()
        folder.remove()
    pictures, reference = rehearse(options, manifest, content, converted, say)
    profiles = profiles_of(manifest, batches)
    say(f"7  build      strongly typed, workspace {options.workspace_mb} MB, TF32 off, one profile:")
    for profile in profiles:
        say(f"              {profile.name} {list(profile.smallest)} / {list(profile.common)} / {list(profile.largest)}")
    if options.dry_run or not machine:
        say(f"8  verify     would compare the plan with ONNX Runtime at batch {', '.join(map(str, batches))}")
        say(f"9  place      would write {folder.plan}, {folder.facts.name} beside it, and {folder.config}")
        say("dry run: nothing was built" + ("" if options.graph else ", nothing was written"))
        return None
    plan, seconds = timed_plan(machine, converted, profiles, options, say)
    comparisons = verify(machine, plan, batches, pictures, reference, manifest, say)
    facts = {
        "built_seconds": round(seconds, 1),
        "pictures": pictures.source,
        "verified": {str(batch): comparison.to_json() for batch, comparison in comparisons.items()},
    }
    folder.write(plan, key, config.text, facts)
    say(f"9  place      {folder.plan}; serve it with tritonserver --model-repository={options.out}")
    return folder.plan


def timed_plan(
    machine: Machine, converted: Converted, profiles: tuple[Profile, ...], options: Options, say: Say
) -> tuple[bytes, float]:
    """The serialised plan, and the seconds of its build."""
    begin = time.perf_counter()
    plan = build_plan(
        machine.trt,
        converted.content,
        profiles,
        workspace_mb=options.workspace_mb,
        tell=lambda line: say(f"   TensorRT   {line}"),
    )
    seconds = time.perf_counter() - begin
    say(f"              {len(plan) / 1e6:.1f} MB in {seconds:.0f} s")
    return plan, seconds


def check_batches(batches: Sequence[int] | None, largest: int) -> tuple[int, int, int]:
    """Smallest, common and largest batch; UserError unless they suit a server that may send 1 to `largest`."""
    if batches is None:
        return 1, min(4, largest), largest
    if len(batches) != 3 or list(batches) != sorted(batches) or min(batches) < 1:
        raise UserError(
            "expected --batches as three ascending numbers from 1 on (smallest, common, largest), "
            f"got {' '.join(map(str, batches))}"
        )
    if batches[0] != 1 or batches[2] != largest:
        raise UserError(
            f"Triton may send 1 to {largest} pictures at once (max_batch_size), so expected --batches 1 N {largest}, "
            f"got {' '.join(map(str, batches))}"
        )
    return batches[0], batches[1], batches[2]


def convert_graph(content: bytes, precision: str, say: Say) -> Converted:
    """Folds constants, moves the cast of the bytes to the front, chooses precisions."""
    raw = load_graph(content)
    before = facts_of(raw)
    folded = cast_first(fold(raw))
    after = facts_of(folded)
    converted = convert(folded, choice.in_half(folded, precision))
    graph = converted.SerializeToString(deterministic=True)
    say(f"2  graph      opset {before.opset}, {before.nodes} nodes, {after.nodes} after folding constants")
    half = half_nodes(converted)
    if precision == "mixed":
        say(f"              mixed: {len(half)} nodes in half precision, Casts on the borders; in single precision stay")
        for why, count in choice.reasons(folded, choice.heavy_and_glue(folded)).most_common():
            say(f"              {count:>6}  {why}")
    else:
        say(f"              {precision}: {len(half)} nodes in half precision")
    return Converted(converted, graph, sha256_of(graph))


def check_operators(model: onnx.ModelProto, say: Say) -> None:
    """UserError if TensorRT refuses something according to its published table."""
    support = operators.check(model)
    if support.faults:
        shown = list(support.faults[:FAULTS_SHOWN])
        if len(support.faults) > FAULTS_SHOWN:
            shown.append(f"and {len(support.faults) - FAULTS_SHOWN} more")
        raise UserError("\n  ".join(["TensorRT would refuse the graph:", *shown]))
    say(f"3  operators  {len(support.uses)} kinds, all in the table of TensorRT {support.table.tensorrt}")


def find_machine(options: Options, say: Say) -> Machine | None:
    """TensorRT and the GPU. Without them a dry run continues; a build raises UserError."""
    try:
        machine = Machine(open_tensorrt(), find_device())
    except UserError as error:
        if not options.dry_run:
            raise
        say(f"4  machine    cannot build here: {error}")
        return None
    device = machine.device
    say(
        f"4  machine    TensorRT {machine.trt.__version__}, {device.name}, compute capability {device.compute_capability}"
    )
    return machine


def key_of(
    machine: Machine | None, manifest: Manifest, converted: Converted, precision: str, batches: tuple[int, int, int]
) -> Key:
    """The key of the plan; a machine that cannot build contributes question marks."""
    return Key(
        gpu=machine.device.name if machine else "?",
        compute_capability=machine.device.compute_capability if machine else "?",
        tensorrt=machine.trt.__version__ if machine else "?",
        model_sha256=manifest.sha256,
        graph_sha256=converted.sha256,
        precision=precision,
        batches=batches,
    )


def fits(folder: PlanFolder, key: Key, options: Options, say: Say) -> bool:
    """Whether the plan on disk matches."""
    why = "--force" if options.force else folder.why_not(key)
    if why is None:
        say(f"5  cache      {folder.plan} fits and is whole: nothing to build")
        return True
    say(f"5  cache      a new plan is needed ({why}); its key:")
    for name, value in key.to_json().items():
        say(f"              {name} {value}")
    return False


def rehearse(
    options: Options, manifest: Manifest, content: bytes, converted: Converted, say: Say
) -> tuple[Pictures, Answers]:
    """Compares the converted graph's rounding, on the CPU, with the exported graph. UserError beyond a limit."""
    size = manifest.input_size
    pictures = from_folder(options.images, size) if options.images else synthetic(size)
    reference = ask(graph_runner(content), pictures, REFERENCE_BATCH, manifest)
    rounded = rehearsal(converted.model).SerializeToString()
    comparison = compare(reference.outputs, ask(graph_runner(rounded), pictures, REFERENCE_BATCH, manifest).outputs)
    say(f"6  rehearse   the same rounding in ONNX Runtime, on {pictures.source}:")
    _report(comparison, say)
    _refuse("the converted graph is too far from the exported one", comparison)
    ask(
        graph_runner(converted.content), pictures, REFERENCE_BATCH, manifest
    )  # it loads unchanged and follows the contract
    return pictures, reference


def verify(
    machine: Machine,
    plan: bytes,
    batches: tuple[int, int, int],
    pictures: Pictures,
    reference: Answers,
    manifest: Manifest,
    say: Say,
) -> dict[int, Comparison]:
    """Compares the plan on the GPU with ONNX Runtime, at every batch of the profile. UserError beyond a limit."""
    comparisons = {}
    with PlanRunner(machine.trt, plan) as infer:
        for batch in sorted(set(batches)):
            results = ask(infer, pictures, batch, manifest)
            comparisons[batch] = compare(reference.outputs, results.outputs)
            say(f"8  verify     batch {batch}, {results.call_ms:.2f} ms a call:")
            _report(comparisons[batch], say)
            _refuse(f"the plan is too far from ONNX Runtime at batch {batch}", comparisons[batch])
    return comparisons


def profiles_of(manifest: Manifest, batches: tuple[int, int, int]) -> tuple[Profile, ...]:
    """The range of every input, of which only the batch is free."""
    smallest, common, largest = batches
    return tuple(
        Profile(spec.name, *((batch, *spec.shape[1:]) for batch in (smallest, common, largest)))
        for spec in manifest.inputs
    )


def keep(path: Path, content: bytes) -> None:
    """Writes the converted graph for other tools, such as trtexec."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write the graph to {path}: {error.strerror}") from error


def _report(comparison: Comparison, say: Say) -> None:
    for line in comparison.table():
        say(f"              {line}")


def _refuse(what: str, comparison: Comparison) -> None:
    if faults := comparison.faults():
        raise UserError("\n  ".join([f"{what}:", *faults]))

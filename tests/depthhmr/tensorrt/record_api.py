"""Writes tensorrt_api_MAJOR.json: what the real Python bindings of TensorRT offer of the things that builder.py calls.

Run by hand when TensorRT changes (the two files here: 10.16.1.11 and 11.4.0.106); needs a C compiler, no GPU, no TensorRT:

    pip download --no-deps tensorrt-cu13-bindings==11.4.0.106 && unzip -d bindings tensorrt_cu13_bindings-*.whl
    python tests/depthhmr/tensorrt/record_api.py bindings

The bindings are linked against libraries that are not on PyPI. Empty ones of the same names, whose functions all answer 0,
are enough to load them and to read every class and signature (and `Builder` fails just as it does without a GPU).
"""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
CLASSES = (
    "Builder", "BuilderFlag", "IBuilderConfig", "ILogger", "IOptimizationProfile", "MemoryPoolType",
    "NetworkDefinitionCreationFlag", "OnnxParser", "ParserError",
)  # fmt: skip


def main(folder: Path) -> None:
    package = folder / "tensorrt_bindings"
    library = package / "tensorrt.so"
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split()[-1] for line in symbols.splitlines()]
    functions = [name for name in names if "@" not in name and not re.match("_|Py", name)]
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
    major = (package / "__init__.py").read_text().split('__version__ = "')[1].split(".")[0]
    for name in LIBRARIES:
        file = f"lib{name}.so.{major}"
        subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{file}", "-o", package / file, source], check=True)
    sys.path.insert(0, str(folder))
    tensorrt = importlib.import_module("tensorrt_bindings")
    recorded = {
        "version": tensorrt.__version__,
        "classes": {name: described(getattr(tensorrt, name)) for name in CLASSES},
    }
    target = Path(__file__).with_name(f"tensorrt_api_{major}.json")
    target.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"wrote {target}")


def described(kind: type) -> dict[str, str]:
    """Member -> signature, or what kind of thing it is."""
    members = {}
    for name in dir(kind):
        if name.startswith("_") and name != "__init__":
            continue
        value = getattr(kind, name)
        first = (value.__doc__ or "").strip().split("\n")[0]
        if isinstance(value, property):
            members[name] = "property"
        elif callable(value) and "(" in first:
            members[name] = re.sub(r"\b[\w.]*tensorrt\.", "", first)
        elif type(value) is kind:
            members[name] = "member"
        elif isinstance(value, type):
            members[name] = "type"
    return members


if __name__ == "__main__":
    main(Path(sys.argv[1]))

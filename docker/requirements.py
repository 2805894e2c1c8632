"""Print what pyproject.toml requires, one line each, so that an image can install it in a layer that our code leaves alone.

examples:
  python3 docker/requirements.py dependencies triton     what the gateway needs, and the extra `triton`
  python3 docker/requirements.py build-system            what building the wheel needs
"""

import sys
import tomllib
from pathlib import Path


def main(names: list[str]) -> int:
    pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    lists: dict[str, list[str]] = {
        "dependencies": project["dependencies"],
        "build-system": pyproject["build-system"]["requires"],
        **project["optional-dependencies"],
    }
    if unknown := [name for name in names if name not in lists]:
        print(f"pyproject.toml has no list {', '.join(unknown)}; it has {', '.join(lists)}", file=sys.stderr)
        return 2
    print("\n".join(line for name in names for line in lists[name]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

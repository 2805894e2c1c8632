"""The contract in proto/: its style, and that the committed code is what it gives."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
GENERATED = REPOSITORY / "service" / "rpc" / "pb"
PYTHON = Path(sys.executable)


def test_the_contract_follows_the_standard_style_and_has_a_comment_on_everything() -> None:
    lint = [str(PYTHON.with_name("buf")), "lint"]

    done = subprocess.run(lint, cwd=REPOSITORY / "proto", capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_committed_code_is_what_the_contract_gives(tmp_path: Path) -> None:
    command = [str(REPOSITORY / "scripts" / "proto"), "--into", str(tmp_path)]
    subprocess.run(command, env={**os.environ, "PYTHON": sys.executable}, check=True, timeout=60)

    made = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    committed = {file.name: file.read_bytes() for file in GENERATED.glob("*_pb2*")}
    assert made == committed, "run scripts/proto"


def test_the_linter_finds_what_breaks_the_style(tmp_path: Path) -> None:
    (tmp_path / "buf.yaml").write_bytes((REPOSITORY / "proto" / "buf.yaml").read_bytes())
    (tmp_path / "bad.proto").write_text('syntax = "proto3";\npackage Bad;\nmessage thing { int32 Field = 1; }\n')

    done = subprocess.run(
        [str(PYTHON.with_name("buf")), "lint"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0 and "bad.proto" in done.stdout


def test_only_grpc_code_knows_the_generated_code() -> None:
    """service.rpc turns messages into what the core knows; service.client does the same on the other side."""
    allowed = {REPOSITORY / "service" / "rpc", REPOSITORY / "service" / "client"}
    users = [file for file in (REPOSITORY / "service").rglob("*.py") if "rpc.pb" in file.read_text(encoding="utf-8")]

    assert [file for file in users if not any(folder in file.parents for folder in allowed)] == []

"""Every example runs as its reader would run it, against the real service with the default network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depthhmr_cli.running import RunningService, running_service

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
NODE_PACKAGES = REPOSITORY / ".venv" / "node-examples" / "node_modules"
PHOTOS = [str(REPOSITORY / "demo" / "people.jpg"), str(REPOSITORY / "docs" / "body.jpg")]
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def service():
    with running_service() as started:
        yield started


@pytest.fixture
def letter(tmp_path) -> str:
    (tmp_path / "letter.jpg").write_text("Dear sir")
    return str(tmp_path / "letter.jpg")


def run(*command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """From another folder than the repository: an example must find its own way."""
    return subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def python(name: str, *arguments: str) -> subprocess.CompletedProcess:
    return run(sys.executable, "-W", "error", str(EXAMPLES / "python" / name), *arguments)


def rpc(service: RunningService) -> str:
    return f"127.0.0.1:{service.grpc_port}"


def test_python_reconstructs_one_image(service):
    done = python("reconstruct.py", service.address, PHOTOS[0])

    assert (done.returncode, done.stderr) == (0, "")
    first, *people = done.stdout.splitlines()
    assert first.startswith(f"{len(people)} people, camera default") and len(people) >= 3
    assert people[0].startswith("0: score 0.")


def test_python_says_what_is_wrong(service, letter):
    done = python("reconstruct.py", service.address, letter)

    assert done.returncode == 1
    assert done.stderr.startswith("RequestRefused: expected a JPEG, PNG or WebP image")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_python_asks_for_many_images_at_once(service, letter, scheme):
    address = service.address if scheme == "http" else f"grpc://{rpc(service)}"

    done = python("many_images.py", address, *PHOTOS, letter)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert " people in 768 x 768 pixels" in lines[0] and len(lines) == 3
    assert lines[2].startswith(f"{letter}: refused (unsupported-media): expected")


def test_python_follows_people(service, letter):
    done = python("follow.py", f"grpc://{rpc(service)}", PHOTOS[0], letter, PHOTOS[0])

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("model depthhmr, ") and lines[2].startswith("picture 1: unsupported-media")
    assert lines[1].startswith("picture 0: somebody at ")
    assert lines[3].startswith("picture 2: person 1 at ")
    assert lines[4] == "2 of 3 pictures have a result (completed)"


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed, so its examples cannot run")
    if not NODE_PACKAGES.is_dir():
        pytest.skip("the packages of the Node examples are not installed: run scripts/install-examples")

    def run_node(name: str, *arguments: str) -> subprocess.CompletedProcess:
        return run(found, str(EXAMPLES / "node" / name), *arguments, environment={"NODE_PATH": str(NODE_PACKAGES)})

    return run_node


def test_node_reconstructs_one_image(service, node):
    done = node("reconstruct.js", rpc(service), PHOTOS[0])

    assert (done.returncode, done.stderr) == (0, "")
    camera, *people = done.stdout.splitlines()
    assert camera == "focal length 665 px, CAMERA_SOURCE_DEFAULT"  # 768 / (2 tan 30 degrees)
    assert len(people) >= 3 and all(line.endswith(" m, 6905 vertices") for line in people)


def test_node_says_what_is_wrong(service, node, letter):
    done = node("reconstruct.js", rpc(service), letter)

    assert done.returncode == 1 and done.stderr.startswith("3: expected a JPEG, PNG or WebP image")


def test_node_follows_people(service, node, letter):
    done = node("stream.js", rpc(service), PHOTOS[0], letter, PHOTOS[0])

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "model depthhmr" and lines[-1] == "2 of 3 pictures have a result"
    assert lines[1].startswith("picture 0: somebody, ") and lines[3].startswith("picture 2: person 1, ")
    assert lines[2].startswith("picture 1: unsupported-media: expected")


def test_node_says_when_nobody_is_there(node):
    done = node("stream.js", "127.0.0.1:9", PHOTOS[0])

    assert done.returncode == 1 and done.stderr.startswith("14: ")


def test_the_shell_speaks_rest(service, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    done = run(str(EXAMPLES / "shell" / "rest.sh"), service.address, PHOTOS[0], str(tmp_path / "out"))

    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "out"
    assert len(json.loads((out / "people.json").read_bytes())["people"]) >= 3
    assert (out / "scene.glb").read_bytes()[:4] == b"glTF" and (out / "overlay.jpg").read_bytes()[:2] == b"\xff\xd8"
    refusal, written = done.stdout.splitlines()
    assert 'as it should be: HTTP 422 {"type":"urn:depthhmr:problem:invalid-parameter"' in refusal
    assert written.startswith("Written: ")


def test_the_shell_speaks_grpc(service):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = run(str(EXAMPLES / "shell" / "grpc.sh"), rpc(service), PHOTOS[0], environment={"PATH": path})

    assert (done.returncode, done.stderr) == (0, "")
    info, rest = done.stdout.partition("One image:")[::2]
    one, stream = rest.partition("A stream of two")[::2]
    assert '"jointNames"' in info and '"bodyPose"' in one and '"summary"' in stream and '"trackId"' in stream


PYTHON_EXAMPLES = ("reconstruct.py", "many_images.py", "follow.py")


@pytest.mark.parametrize("name", PYTHON_EXAMPLES)
def test_without_arguments_a_python_example_says_how_it_is_used(name):
    done = python(name)

    assert done.returncode == 1 and done.stderr.startswith(f"usage: {name} ")


@pytest.mark.parametrize("missing", ["service", "httpx"])
@pytest.mark.parametrize("name", PYTHON_EXAMPLES[:2])
def test_without_its_packages_a_python_example_names_the_command(service, name, missing):
    without = f"import runpy, sys; sys.modules[{missing!r}] = None; del sys.argv[0]\n"
    without += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = run(sys.executable, "-c", without, str(EXAMPLES / "python" / name), service.address, PHOTOS[0])

    assert done.returncode == 1 and "scripts/install client" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["reconstruct.js", "stream.js"])
def test_node_says_how_it_is_used_and_what_is_missing(node, name, tmp_path):
    done = node(name)
    without = run("node", str(EXAMPLES / "node" / name), "x", "y", environment={"NODE_PATH": str(tmp_path)})

    assert done.returncode == 2 and done.stderr.startswith(f"usage: node {name} ")
    if not (EXAMPLES / "node" / "node_modules").exists():
        assert (without.returncode, without.stdout) == (1, "") and "cd examples/node; npm install" in without.stderr


@pytest.mark.parametrize("name", ["rest.sh", "grpc.sh"])
def test_the_shell_says_how_it_is_used_and_what_is_missing(name, tmp_path):
    script = str(EXAMPLES / "shell" / name)
    arguments = ("127.0.0.1:9", PHOTOS[0], str(tmp_path))[: 3 if name == "rest.sh" else 2]

    usage = run(script)
    without = run("/bin/sh", script, *arguments, environment={"PATH": str(tmp_path)})

    assert usage.returncode == 2 and usage.stderr.startswith(f"usage: {script} ")
    assert without.returncode == 1 and " is not installed; " in without.stderr


def test_the_examples_agree_on_the_camera(service, node):
    """All take the camera from the service: another field of view in one of them puts the same people elsewhere."""
    one = python("reconstruct.py", service.address, PHOTOS[0]).stdout
    other = node("reconstruct.js", rpc(service), PHOTOS[0]).stdout

    assert "focal length 665 px" in one and "focal length 665 px" in other


def test_installing_the_node_packages_leaves_no_lock_file():
    assert (EXAMPLES / "node" / ".npmrc").read_text() == "package-lock=false\n"


@pytest.mark.parametrize(
    "file", sorted(path.name for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".js", ".sh"))
)
def test_every_example_is_in_the_list(file):
    assert file == "service.js" or f"/{file})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")

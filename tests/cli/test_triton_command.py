"""`depthhmr triton`: the files for a server, and a real server."""

import re
import shutil
import signal
import subprocess
import sys

import pytest
import tritonclient.grpc as triton

from bodykit.manifest import Manifest
from bodykit.triton_config import triton_files
from depthhmr_cli.local_triton import free_ports
from depthhmr_cli.main import main

TIMEOUT_S = 60


@pytest.fixture
def folder(model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "tiny")


def test_files_writes_what_a_server_needs_beside_the_graph(folder, capsys):
    assert main(["triton", "files", "--model-dir", str(folder)]) == 0

    assert capsys.readouterr().out.count("wrote ") == 4
    for path, text in triton_files(Manifest.read(folder)).items():
        assert (folder / path).read_text() == text


def test_a_folder_without_a_manifest_is_a_clear_error(tmp_path, capsys):
    assert main(["triton", "files", "--model-dir", str(tmp_path)]) == 2
    assert "manifest.json is missing" in capsys.readouterr().err


def test_a_folder_without_the_files_is_a_clear_error(folder, capsys):
    assert main(["triton", "serve", "--model-dir", str(folder)]) == 2
    assert "lacks configs/pybe.pbtxt; `depthhmr triton files` writes it" in capsys.readouterr().err


@pytest.mark.triton
@pytest.mark.usefixtures("bundled_triton")
def test_serve_runs_a_server_until_it_is_interrupted(folder):
    main(["triton", "files", "--model-dir", str(folder)])
    (port,) = free_ports(0)
    command = [sys.executable, "-m", "depthhmr_cli", "triton", "serve", "--model-dir", str(folder)]
    process = subprocess.Popen([*command, "--grpc-port", str(port)], stdout=subprocess.PIPE, text=True)
    try:
        first_line = process.stdout.readline()
        assert re.search(rf"triton serves tiny at 127\.0\.0\.1:{port}, metrics at http", first_line)
        assert triton.InferenceServerClient(f"127.0.0.1:{port}").is_model_ready("tiny")

        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0 and "triton stopped" in out
    finally:
        process.kill()
        process.wait()


@pytest.mark.triton
@pytest.mark.usefixtures("bundled_triton")
def test_a_port_in_use_is_a_clear_error(folder, capsys):
    import socket

    main(["triton", "files", "--model-dir", str(folder)])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["triton", "serve", "--model-dir", str(folder), "--grpc-port", str(port)]) == 2
    assert f"port {port} of 127.0.0.1 cannot be had: Address already in use" in capsys.readouterr().err

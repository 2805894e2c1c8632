"""The service is ready when its compiled code is loaded: the first mesh or overlay does not wait for a compiler."""

import os
from pathlib import Path

import pytest

from depthhmr_cli.running import running_service


@pytest.mark.slow
def test_the_drawing_code_is_compiled_before_the_service_is_ready(model_dir, tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    with running_service("--model-dir", str(model_dir), environment=environment) as service:
        loaded = Path(f"/proc/{service.pid}/maps").read_text()
        compiled = [path.name for path in (tmp_path / "numba").rglob("*.nbc")]

    assert "llvmlite" in loaded
    assert any("blend" in name for name in compiled) and any("raster" in name for name in compiled)

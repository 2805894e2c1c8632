"""How pip reaches its package index on this machine, as the two files that the Dockerfiles take as build secrets."""

import os
import subprocess
import sys
from pathlib import Path

OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def write(folder: Path) -> list[str]:
    """Write `pip.conf` and `ca.crt` into `folder`; returns the words in them that must not show up in an image."""
    settings = {name: value for name in OPTIONS if (value := setting(name))}
    (folder / "pip.conf").write_text(
        "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()), encoding="utf-8"
    )
    names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    bundle = next((os.environ[name] for name in names if os.environ.get(name)), SYSTEM_BUNDLE)
    (folder / "ca.crt").write_bytes(Path(bundle).read_bytes() if Path(bundle).is_file() else b"")
    return [value for name, value in settings.items() if name != "timeout"]


def setting(name: str) -> str:
    """One setting of pip, from the environment or its files; places on this machine mean nothing inside a build."""
    value = os.environ.get("PIP_" + name.replace("-", "_").upper())
    if value is None:
        command = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
        value = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return " ".join(word for word in value.split() if not word.startswith(("file:", "/")))

"""Programs out of Debian packages, unpacked into a folder of ours: nothing is installed and apt's own state is not touched.

The package source is the one that this machine's apt is set up with; only the release may differ. Knows nothing of Docker.

example:
  python3 docker/check/debian.py .venv/docker trixie docker-compose     # what scripts/install-compose runs
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


class NotHere(Exception):
    """This machine cannot do it, and why; not a fault of what is checked."""


def unpack(packages: Sequence[str], release: str, folder: Path) -> Path:
    """Download `packages` of a Debian release (without what they depend on) and unpack them into `folder`, once.

    Raises NotHere on a machine without Debian's apt, or whose package source does not answer.
    """
    stamp = folder / ".packages"
    wanted = f"{release}: {' '.join(packages)}\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return folder
    source = package_source()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        archives = download(packages, release, source, Path(scratch))
        fresh = folder.with_name(folder.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        for archive in archives:
            subprocess.run(["dpkg", "-x", archive, fresh], check=True)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    stamp.write_text(wanted)
    return folder


def package_source() -> tuple[str, str]:
    """The archive that this machine's apt uses for its own release, and the options of its line."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise NotHere("this is no Debian: apt-get and dpkg were not found")
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line in listing.splitlines():
        uri, release, component = line.split()
        if release == own_release() and component == "main":
            return uri, component
    raise NotHere(f"apt has no package source for Debian {own_release() or '(unknown release)'} main")


def own_release() -> str:
    """The code name of this machine's Debian, empty where it is another system."""
    with open("/etc/os-release", encoding="utf-8") as lines:
        facts = dict(line.rstrip().split("=", 1) for line in lines if "=" in line)
    return facts.get("VERSION_CODENAME", "") if facts.get("ID") == "debian" else ""


def download(packages: Sequence[str], release: str, source: tuple[str, str], scratch: Path) -> list[Path]:
    """The packages' files, fetched into `scratch` with an apt state that lives there too."""
    uri, component = source
    for name in ("lists/partial", "cache/archives/partial", "sources", "files"):
        (scratch / name).mkdir(parents=True)
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed = f" [signed-by={keyring}]" if keyring.is_file() else ""
    (scratch / "sources" / "one.list").write_text(f"deb{signed} {uri} {release} {component}\n")
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": scratch / "sources",
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch / "cache",
        "APT::Sandbox::User": os.environ.get("USER")
        or "root",  # `scratch` is private; apt's own user could not read it
        "Acquire::Retries": 3,
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    try:
        subprocess.run([*apt, "update"], cwd=scratch / "files", check=True)
        subprocess.run([*apt, "download", *packages], cwd=scratch / "files", check=True)
    except subprocess.CalledProcessError as error:
        raise NotHere(f"apt could not fetch {', '.join(packages)} of Debian {release}") from error
    return sorted((scratch / "files").glob("*.deb"))


if __name__ == "__main__":
    try:
        unpack(sys.argv[3:], sys.argv[2], Path(sys.argv[1]))
    except NotHere as reason:
        sys.exit(str(reason))

"""A Docker engine of our own for a machine that has none: Debian's packages, unpacked, in namespaces of their own.

Everything that an engine does to a machine - the bridge, firewall rules, IP forwarding, mounts, processes - happens in
a network, mount and process namespace made for this run and disappears with it, however the run ends. The machine's
firewall is never read, written or restored, and no port of the machine is taken. The way out is slirp4netns: a
user-space network stack that makes plain outgoing connections, so no address translation is set up either.

What stays is the cache folder: unpacked packages, image layers, pip's downloads.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import debian
from debian import NotHere
from terminal import Failed, run, say

# Debian 13's engine (26.1) runs on Debian 12. Its bookworm counterpart (20.10) knows no `start_interval` and is too old
# for the compose file; trixie's runc in turn wants a newer libc, so runc and all helpers are of the machine's release.
ENGINE_RELEASE = "trixie"
ENGINE = ("docker.io", "docker-cli", "containerd", "docker-compose", "docker-buildx")
HELPERS = (
    "runc",
    "iptables",
    "slirp4netns",
    "mmdebstrap",
    # what they need and a minimal Debian may not have
    "libglib2.0-0",
    "libip4tc2",
    "libip6tc2",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libpcre2-8-0",
    "libseccomp2",
    "libslirp0",
    "libxtables12",
)
NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
DNS = "10.0.2.3"  # slirp4netns's own: it asks whatever the machine asks
CGROUP = "depthhmr-docker-check"
MTU = 1400  # below what tunnels and clouds leave of 1500
KEEP = "4GB"
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def missing() -> str | None:
    """Why this machine cannot carry an engine of ours; None when it can."""
    if sys.platform != "linux":
        return f"an engine of our own needs Linux, this is {sys.platform}"
    if os.geteuid() != 0:
        return "an engine of our own needs root"
    if not debian.own_release():
        return "an engine of our own is made from Debian packages, and this is no Debian"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    trial = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, text=True)
    if trial.returncode != 0:
        return f"namespaces cannot be made here: {trial.stderr.strip()}"
    return None


def fetch(cache: Path) -> None:
    """Engine and helpers into the cache folder, once."""
    debian.unpack(ENGINE, ENGINE_RELEASE, cache / "engine")
    helpers = debian.unpack(HELPERS, debian.own_release(), cache / "helpers")
    links = {"iptables": "xtables-nft-multi", "ip6tables": "xtables-nft-multi"}
    for name, target in links.items():
        link = helpers / "usr" / "sbin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def environment(cache: Path) -> dict[str, str]:
    """The variables under which the unpacked programs find each other and their libraries."""
    engine, helpers = cache / "engine" / "usr", cache / "helpers"
    (library,) = (helpers / "usr" / "lib").glob("*-linux-gnu")
    libraries = [library, helpers / "lib" / library.name]
    programs = [engine / "bin", engine / "sbin", helpers / "usr/sbin", helpers / "usr/bin"]
    return {
        **os.environ,
        "PATH": ":".join([*map(str, programs), os.environ["PATH"], "/usr/sbin", "/sbin"]),
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "XTABLES_LIBDIR": str(library / "xtables"),
    }


def in_namespaces(command: list[str], cache: Path) -> int:
    """Run `command` in namespaces of its own with a way out to the network; returns its exit status.

    The command gets the number of a pipe as its last argument and finds the network there once the pipe is closed.
    """
    env = environment(cache)
    told, tell = os.pipe()
    entered, enter = os.pipe()
    inside = subprocess.Popen(
        ["unshare", *NAMESPACES, *command, str(enter), str(told)], pass_fds=(enter, told), preexec_fn=die_with_us
    )
    os.close(enter), os.close(told)
    os.read(entered, 1)  # comes when the command runs, so the namespaces exist
    slirp = None
    try:
        if inside.poll() is None:
            options = ["--configure", f"--mtu={MTU}", "--disable-host-loopback", "--netns-type=path"]
            ready, configured = os.pipe()
            slirp = subprocess.Popen(
                ["slirp4netns", *options, f"--ready-fd={configured}", f"/proc/{inside.pid}/ns/net", "tap0"],
                env=env,
                pass_fds=(configured,),
                preexec_fn=die_with_us,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            os.close(configured)
            if not os.read(ready, 1):
                print("slirp4netns did not start, there is no network inside", file=sys.stderr)
        os.close(tell)
        return wait(inside)
    finally:
        for process in (slirp, inside):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        remove_control_groups()


def remove_control_groups() -> None:
    """Control groups belong to no namespace, and the engine leaves its own behind, empty."""
    for top in (*Path("/sys/fs/cgroup").glob(CGROUP), *Path("/sys/fs/cgroup").glob(f"*/{CGROUP}")):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def wait(process: "subprocess.Popen[bytes]") -> int:
    """The exit status. Ctrl-C reaches the command too, which then cleans up: keep waiting for it."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def die_with_us() -> None:
    """In the child: the kernel ends it when this process ends, whatever the reason."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def running(cache: Path, scratch: Path, enter: int, told: int) -> Iterator[dict[str, str]]:
    """Inside the namespaces: a running engine, as the variables with which `docker` finds it; stopped afterwards."""
    os.write(enter, b"1")
    os.read(told, 1)  # ends when the other side closes the pipe: the network is there
    run(["ip", "link", "set", "lo", "up"])
    (scratch / "resolv.conf").write_text(f"nameserver {DNS}\n")
    run(["mount", "--bind", scratch / "resolv.conf", "/etc/resolv.conf"])
    env = {
        **environment(cache),
        "DOCKER_HOST": f"unix://{scratch}/docker.sock",
        "DOCKER_CONFIG": str(scratch / "config"),
    }
    (scratch / "config").mkdir()
    (scratch / "config" / "cli-plugins").symlink_to(cache / "engine/usr/libexec/docker/cli-plugins")
    log = (scratch / "dockerd.log").open("wb")
    dockerd = subprocess.Popen(
        # The socket and what runs are in the scratch folder; what is worth keeping is under the cache.
        ["dockerd", "--data-root", cache / "data", "--exec-root", scratch / "exec", "--pidfile", scratch / "docker.pid"]
        + ["--host", env["DOCKER_HOST"], "--mtu", str(MTU), "--cgroup-parent", f"/{CGROUP}"],
        env=env,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for us: the engine has to outlive it until its containers are gone
    )
    try:
        wait_for(dockerd, env, scratch / "dockerd.log")
        left = run(["docker", "ps", "--all", "--quiet"], env=env).stdout.split()
        if left:  # of a run that was killed
            run(["docker", "rm", "--force", *left], env=env)
        version = run(["docker", "version", "--format", "{{.Server.Version}}"], env=env).stdout.strip()
        storage = run(["docker", "info", "--format", "{{.Driver}}, cgroup v{{.CgroupVersion}}"], env=env).stdout.strip()
        say(f"an engine of our own is up: Docker {version}, {storage}")
        yield env
        # The build cache keeps what the next run needs: layers, and pip's downloads.
        run(["docker", "image", "prune", "--force"], env=env)
        run(["docker", "builder", "prune", "--force", "--keep-storage", KEEP], env=env, timeout_s=120)
    finally:
        dockerd.terminate()
        try:
            dockerd.wait(timeout=30)
        except subprocess.TimeoutExpired:
            dockerd.kill()


def wait_for(dockerd: "subprocess.Popen[bytes]", env: dict[str, str], log: Path) -> None:
    for _ in range(150):
        if subprocess.run(["docker", "version"], env=env, capture_output=True).returncode == 0:
            return
        if dockerd.poll() is not None:
            break
        time.sleep(0.2)
    raise Failed("dockerd did not start; its last words:\n" + log.read_text(errors="replace")[-3000:])


def stand_in(cache: Path, scratch: Path, env: dict[str, str], name: str) -> None:
    """Make an image like `name` out of Debian packages, as no registry can be asked: Debian's Python, not the official one.

    Shows that the Dockerfiles' logic holds, not what is in the official image.
    """
    if run(["docker", "image", "inspect", name], env=env, status=None).returncode == 0:
        return
    release = debian.own_release()
    uri, component = debian.package_source()
    include = "ca-certificates,netbase,tzdata,python3,python3-venv,python3-pip"
    links = 'for n in python python3; do ln -s /usr/bin/python3 "$1/usr/local/bin/$n"; done'
    archive = scratch / "base.tar"
    run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}"]
        + ['--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"]
        + [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "doc", "locale")]
        + [f'--customize-hook=rm -f "$1"/usr/lib/python3.*/EXTERNALLY-MANAGED; {links}']
        + [release, archive, f"deb {uri} {release} {component}"],
        env=env,
        timeout_s=600,
    )
    run(["docker", "import", "--change", 'CMD ["python3"]', archive, name], env=env, timeout_s=120)
    archive.unlink()
    shutil.rmtree(scratch / "empty", ignore_errors=True)
    say(f"made a stand-in for {name} from Debian {release}'s packages")


__all__ = ["NotHere", "fetch", "in_namespaces", "missing", "running", "stand_in"]

"""The checks, in the order in which they are made: image, start, answers, hardening, networks, crash, Prometheus, end."""

import contextlib
import errno
import json
import os
import re
import socket
import time
from collections.abc import Iterator

import monitoring
import triton
from product import PYTHON, REPOSITORY, Product
from terminal import Failed, require, say

PROFILES = ("gpu", "observability")
UID = 10001
NOWHERE = "192.0.2.1"  # TEST-NET-1: nobody answers there, on any network
BUILD_S, START_S, RESTART_S = 900, 90, 60


def check_all(product: Product) -> None:
    check_compose_file(product)
    build(product)
    check_image(product)
    check_refusals(product)
    with up(product):
        check_port(product)
        check_answers(product)
        check_hardening(product)
        check_networks(product)
        check_crash(product)
        monitoring.check(product)
        check_stop(product)
    triton.check(product)
    left = product.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={product.project}")
    require(not left, "compose down leaves no container", left)


def check_compose_file(product: Product) -> None:
    for profile in ("", *PROFILES):
        product.compose("config", "--quiet", profile=profile)
    say(f"ok  the compose file is valid: without a profile, and with {', '.join(PROFILES)}")


def build(product: Product) -> None:
    begin = time.monotonic()
    product.compose("build", "--quiet", "gateway", timeout_s=BUILD_S)
    size = int(product.docker("image", "inspect", "--format", "{{.Size}}", product.image)) / 1e6
    base = int(product.docker("image", "inspect", "--format", "{{.Size}}", product.base)) / 1e6
    say(f"the gateway's image is built in {time.monotonic() - begin:.0f} s: {size:.0f} MB, {base:.0f} of them its base")


def check_image(product: Product) -> None:
    history = product.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", product.image)
    require(not any(word in history for word in product.secret_words), "the image's history keeps no build secret")
    program = """if True:
        import importlib.util, json, os, shutil, subprocess, sys
        def writable(top):
            return [os.path.join(at, name) for at, folders, files in os.walk(top) for name in folders + files
                    if os.access(os.path.join(at, name), os.W_OK)]
        print(json.dumps({
            "torch": importlib.util.find_spec("torch"), "pip": importlib.util.find_spec("pip"),
            "triton": importlib.util.find_spec("tritonclient") is not None,
            "compilers": [name for name in ("gcc", "cc", "g++", "clang", "make") if shutil.which(name)],
            "secrets": os.listdir("/run/secrets") if os.path.isdir("/run/secrets") else [],
            "uid": os.getuid(), "gid": os.getgid(), "writable": writable("/opt") + writable("/srv")}))"""
    facts = json.loads(product.once("--entrypoint", PYTHON, product.image, "-c", program))
    require(
        facts["torch"] is None and facts["pip"] is None, "the image has neither torch nor pip for the gateway", facts
    )
    require(facts["triton"], "the image has Triton's client")
    require(not facts["compilers"] and not facts["secrets"], "the image has no compiler and no build secret", facts)
    require((facts["uid"], facts["gid"]) == (UID, UID), f"the image runs as user {UID} by itself", facts)
    require(not facts["writable"], "its user can write nothing of the program", facts["writable"][:5])


def check_refusals(product: Product) -> None:
    """What cannot run says so in words."""
    words = product.once(product.image, status=2)
    require("cannot be written" in words, "without a writable /tmp the container says what it needs", words)
    words = product.once("--tmpfs=/tmp", "--env=DEPTHHMR_MODEL_DIR=/nowhere", product.image, status=2)
    require("depthhmr: " in words and "Traceback" not in words, "with a wrong setting it ends with one sentence", words)


@contextlib.contextmanager
def up(product: Product) -> Iterator[None]:
    begin = time.monotonic()
    try:
        product.compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", START_S, timeout_s=START_S + 30)
        say(f"ok  docker compose up: healthy after {time.monotonic() - begin:.1f} s")
        yield
    except Failed:
        print(product.compose("logs", "--tail", "40", profile="*"))
        raise
    finally:
        product.compose("down", "--volumes", "--remove-orphans", "--timeout", 5, profile="*", timeout_s=120)


def check_port(product: Product) -> None:
    own = own_address()
    for name, inner in (("REST", 8000), ("gRPC", 50051)):
        host, _, port = product.address(port=inner).rpartition(":")
        require(host == "127.0.0.1", f"{name} is published on loopback", host)
        with socket.create_connection((host, int(port)), timeout=3):
            pass
        if own is None:
            say("    (this machine has no other address to try)")
            continue
        with socket.socket() as probe:
            probe.settimeout(3)
            refused = probe.connect_ex((own, int(port)))
        require(refused == errno.ECONNREFUSED, "and nobody answers there on this machine's other address", refused)
    program = """if True:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc
        with grpc.insecure_channel("127.0.0.1:50051") as channel:
            reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        print(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))"""
    found = product.python(program)
    require(found == "SERVING", "gRPC's own health service says SERVING", found)


def own_address() -> str | None:
    """The address that this machine would send from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((NOWHERE, 9))
        except OSError:
            return None
        return probe.getsockname()[0]


def check_answers(product: Product) -> None:
    image = (REPOSITORY / "demo" / "people.jpg").read_bytes()
    version = json.loads(product.ask("/v1/version"))
    require(version["engine"] == "embedded", "without the profile gpu the embedded engine is chosen", version)
    reply = json.loads(product.ask("/v1/reconstruct", image, Content_Type="image/jpeg"))
    require(reply["people"], f"demo/people.jpg holds {len(reply['people'])} people")
    listing = "import os; print(sorted(f for _, _, fs in os.walk(os.environ['NUMBA_CACHE_DIR']) for f in fs))"
    kernels = product.python(listing)
    begin = time.monotonic()
    overlay = product.ask("/v1/reconstruct", image, Content_Type="image/jpeg", Accept="image/jpeg")
    took = time.monotonic() - begin
    require(overlay[:3] == b"\xff\xd8\xff", f"the first overlay comes as a JPEG, after {took:.2f} s")
    archive = product.ask("/v1/reconstruct", image, Content_Type="image/jpeg", Accept="application/zip")
    require(archive[:2] == b"PK", "everything comes as a ZIP")
    require("nbc" in kernels and product.python(listing) == kernels, "no kernel had to be compiled for them", kernels)


def check_hardening(product: Product) -> None:
    status = dict(
        re.findall(r"^(\w+):\s+(.*)$", product.docker("exec", product.container(), "cat", "/proc/1/status"), re.M)
    )
    require(set(status["Uid"].split()) == {str(UID)}, f"the service runs as user {UID}", status["Uid"])
    require(
        int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0,
        "it has no capability",
        (status["CapEff"], status["CapBnd"]),
    )
    require(status["NoNewPrivs"] == "1", "and can gain none (NoNewPrivs)", status["NoNewPrivs"])
    require(status["Seccomp"] == "2", "its system calls are filtered (seccomp)", status["Seccomp"])
    tries = {"/": errno.EROFS, "/srv": errno.EROFS, "/opt/depthhmr": errno.EROFS, "/tmp": 0}
    program = f"""if True:
        import json
        def attempt(folder):
            try:
                open(folder + "/attempt", "w").close()
            except OSError as error:
                return error.errno
            return 0
        print(json.dumps({{folder: attempt(folder) for folder in {list(tries)}}}))"""
    found = json.loads(product.python(program))
    require(found == tries, "its root file system is read-only, /tmp alone can be written", found)
    limits = product.inspect(
        "{{.HostConfig.PidsLimit}} {{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}"
    ).split()
    require(int(limits[0]) > 0 and int(limits[1]) > 0, "processes and memory are limited", limits)


def check_networks(product: Product) -> None:
    search = product.docker("exec", product.container(), "cat", "/etc/resolv.conf")
    require(
        not re.search(r"^search\s+[^.\s]", search, re.M),
        "no search domain can turn the name triton into another",
        search,
    )
    name = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
    inference = ["--network", f"{product.project}_inference"]
    entry = ["--entrypoint", PYTHON, product.image, "-c"]
    alone = product.docker("exec", product.container(), PYTHON, "-c", name, "triton", status=1)
    require("gaierror" in alone, "the name triton means nothing without the profile gpu", alone[-200:])
    other = product.docker(
        "run",
        "--detach",
        "--rm",
        "--stop-timeout=1",
        *inference,
        "--network-alias=triton",
        *entry,
        "import time; time.sleep(60)",
    )
    seen = product.docker("exec", product.container(), PYTHON, "-c", name, "triton")
    product.docker("rm", "--force", other)
    require(
        re.fullmatch(r"[\d.]+", seen), "and is found as soon as a container of that name is on the inner network", seen
    )

    connect = """if True:
        import socket, sys
        probe = socket.socket(); probe.settimeout(2)
        print(probe.connect_ex((sys.argv[1], int(sys.argv[2]))))"""
    found = product.once(*inference, *entry, connect, "gateway", "8000")
    require(found == "0", "the gateway is reached over the inner network", found)
    found = product.once(*inference, *entry, connect, NOWHERE, "80")
    require(found == str(errno.ENETUNREACH), "the inner network has no way out", found)
    found = product.once("--network", f"{product.project}_edge", *entry, connect, NOWHERE, "80")
    require(found != str(errno.ENETUNREACH), "(the outer one has, so that this says something)", found)


def check_crash(product: Product) -> None:
    before = int(product.inspect("{{.RestartCount}}"))
    process = int(product.inspect("{{.State.Pid}}"))
    begin = time.monotonic()
    try:
        os.kill(process, 9)  # `docker kill` would count as a wish, and be respected
    except (PermissionError, ProcessLookupError):  # an engine in a virtual machine, or we are not root
        product.docker("exec", product.container(), PYTHON, "-c", "import os; os.kill(1, 15)")
    state = ""
    while time.monotonic() - begin < RESTART_S:
        state = product.inspect("{{.RestartCount}} {{.State.Health.Status}}")
        if state == f"{before + 1} healthy":
            break
        time.sleep(0.2)
    took = time.monotonic() - begin
    require(state == f"{before + 1} healthy", f"killed, it is back and healthy after {took:.1f} s", state)
    image = (REPOSITORY / "demo" / "people.jpg").read_bytes()
    require(
        json.loads(product.ask("/v1/reconstruct", image, Content_Type="image/jpeg"))["people"], "and finds people again"
    )


def check_stop(product: Product) -> None:
    begin = time.monotonic()
    product.compose("stop", "gateway")
    code = product.inspect("{{.State.ExitCode}}")
    require(code == "0", f"told to stop, it ends by itself within {time.monotonic() - begin:.1f} s", code)
    require("depthhmr stopped" in product.compose("logs", "gateway"), "and says so")

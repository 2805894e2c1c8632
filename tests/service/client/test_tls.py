"""Encrypted connections: whom the client trusts, and how it shows who it is."""

import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import trustme

from service.client import Client, ConnectionFailed, InvalidUse, Tls
from service.rpc.pb import reconstruction_pb2 as pb

BODY = {"frame": {"axes": "x", "units": "metres"}, "joint_names": [], "vertex_count": 7}
MODEL = {"name": "m", "version": "1", "sha256": "0", "body": {"name": "b", "version": "1", "sha256": "0"}}
BOTH = (200, {}, json.dumps({"models": [MODEL], **BODY}).encode())  # answers /v1/models and /v1/body alike


@dataclass(frozen=True)
class Files:
    """An authority, a server that it vouches for, and a client that it vouches for."""

    ca: Path
    other_ca: Path
    server: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    found = Files(*(folder / name for name in ("ca.pem", "other.pem", "server.pem", "client.pem", "client.key")))
    authority.cert_pem.write_to_path(found.ca)
    trustme.CA().cert_pem.write_to_path(found.other_ca)
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(found.server)
    client = authority.issue_cert("camera-7")
    client.cert_chain_pems[0].write_to_path(found.certificate)
    client.private_key_pem.write_to_path(found.key)
    return found


@pytest.fixture(params=["https", "grpcs"])
def secure(request, files, fake_https, fake_grpcs) -> str:
    """The address of a server that wants to see the client's certificate."""
    return fake_https(BOTH) if request.param == "https" else fake_grpcs()


@pytest.fixture
def fake_https(files, http_server):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
    context.load_cert_chain(files.server)
    context.verify_mode = ssl.CERT_REQUIRED
    return lambda *answers: http_server(*answers, context=context)


@pytest.fixture
def fake_grpcs(files, grpc_server):
    pem = files.server.read_bytes()
    credentials = grpc.ssl_server_credentials([(pem, pem)], files.ca.read_bytes(), require_client_auth=True)
    return lambda: grpc_server({"GetInfo": lambda *_: pb.GetInfoResponse(vertex_count=7)}, credentials)


def test_who_trusts_the_authority_and_shows_a_certificate_gets_an_answer(secure, files):
    with Client(secure, tls=Tls(files.ca, files.certificate, files.key)) as client:
        assert client.info().vertex_count == 7


def test_a_server_of_another_authority_is_not_trusted(secure, files):
    tls = Tls(files.other_ca, files.certificate, files.key)

    with Client(secure, tls=tls, timeout_s=5) as client, pytest.raises(ConnectionFailed, match="(?i)certificate"):
        client.info()


def test_the_machines_own_authorities_are_not_enough(secure):
    with Client(secure, timeout_s=5) as client, pytest.raises(ConnectionFailed, match="(?i)certificate"):
        client.info()


def test_who_shows_no_certificate_gets_no_answer(secure, files):
    with Client(secure, tls=Tls(files.ca), timeout_s=5) as client, pytest.raises(ConnectionFailed):
        client.info()


def test_files_that_cannot_be_used_are_named(files, tmp_path):
    (tmp_path / "broken.pem").write_text("no certificate")
    for scheme in ("https", "grpcs"):
        for ca in (tmp_path / "missing.pem", tmp_path / "broken.pem"):
            with Client(f"{scheme}://127.0.0.1:9", tls=Tls(ca)) as client, pytest.raises(InvalidUse, match=ca.name):
                client.info()


def test_half_a_client_certificate_is_refused(files):
    with pytest.raises(InvalidUse, match="needs both"):
        Tls(certificate_file=files.certificate)


def test_tls_on_an_address_without_it_is_refused(files):
    with pytest.raises(InvalidUse, match="begins with https:// or grpcs://"):
        Client("http://127.0.0.1:8000", tls=Tls(files.ca))


@pytest.fixture(scope="module")
def real(files, model_dir) -> Iterator[dict[str, str]]:
    """The addresses of a real service that wants to see the client's certificate."""
    server, ca = str(files.server), str(files.ca)
    settings = {"TLS_CERTIFICATE": server, "TLS_KEY": server, "TLS_CLIENT_CA": ca, "MODEL_DIR": str(model_dir)}
    environment = {**os.environ, **{f"DEPTHHMR_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "depthhmr_cli", "serve", "--port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            found = re.search(
                r"ready at https://127\.0\.0\.1:(\d+), gRPC 127\.0\.0\.1:(\d+)", process.stdout.readline()
            )
            assert found
            yield {"https": f"https://127.0.0.1:{found[1]}", "grpcs": f"grpcs://127.0.0.1:{found[2]}"}
        finally:
            process.terminate()


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_the_service_and_the_client_agree_on_tls(real, files, people_jpeg, scheme):
    with Client(real[scheme], tls=Tls(files.ca, files.certificate, files.key)) as client:
        assert len(client.reconstruct(people_jpeg).people) == 2
        if scheme == "grpcs":
            assert len(list(client.stream([people_jpeg] * 3))) == 5
    with Client(real[scheme], tls=Tls(files.ca), timeout_s=5) as client, pytest.raises(ConnectionFailed):
        client.reconstruct(people_jpeg)

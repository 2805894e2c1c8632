"""Certificates that one of the two protocols understands and the other does not."""

import shutil
import subprocess

import grpc
import pytest

from bodykit.errors import UserError
from service.access.tls import Tls, open_tls
from service.rpc.limits import RpcLimits
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.rpc.server import RpcServer

MARK = b"\xef\xbb\xbf"  # a byte order mark, as editors on Windows add it


def test_a_certificate_whose_key_grpc_cannot_use_is_refused_by_its_kind(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-noenc", "-days", "2"]
        + ["-subj", "/CN=localhost", "-keyout", "it.key", "-out", "it.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

    with pytest.raises(UserError, match=r"gRPC cannot use the certificate .*it\.pem: its key is RSASSA-PSS; expected"):
        open_tls(tmp_path / "it.pem", tmp_path / "it.key", None)


@pytest.mark.anyio
async def test_files_with_a_byte_order_mark_serve_grpc(core, certificates, tmp_path):
    ca, (certificate, key), _ = certificates
    for file in (certificate, key):
        (tmp_path / file.name).write_bytes(MARK + file.read_bytes())
    tls = open_tls(tmp_path / certificate.name, tmp_path / key.name, None)

    server = RpcServer(core, "127.0.0.1:0", RpcLimits(2**20, 64), tls=tls)
    await server.start()
    try:
        credentials = grpc.ssl_channel_credentials(ca.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{server.port}", credentials) as channel:
            assert (await ReconstructionServiceStub(channel).GetInfo(pb.GetInfoRequest(), timeout=20)).vertex_count
    finally:
        await server.stop(0)


@pytest.mark.anyio
async def test_files_that_grpc_refuses_are_not_reported_as_a_port_in_use(core, certificates, tmp_path):
    _, (_, key), _ = certificates
    shutil.copy(key, tmp_path / "it.key")
    (tmp_path / "it.pem").write_text("no certificate")
    server = RpcServer(core, "127.0.0.1:0", RpcLimits(2**20, 64), tls=Tls(tmp_path / "it.pem", tmp_path / "it.key"))

    with pytest.raises(UserError, match=r"gRPC cannot use the TLS files .*it\.pem, .*it\.key; expected PEM files"):
        await server.start()

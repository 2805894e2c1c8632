"""Expired and foreign certificates, with the real process over REST."""

import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.slow

OPENER = urllib.request.ProxyHandler({})


def openssl(folder, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def stale(certificates, tmp_path_factory):
    """`stale(name)`: certificate and key of our authority that were valid for one day in 2020."""
    ca = certificates[0]
    folder = tmp_path_factory.mktemp("stale")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=it\n[it]\ndatabase={folder}/index\nserial={folder}/serial\nnew_certs_dir={folder}\n"
        f"default_md=sha256\npolicy=any\ncertificate={ca}\nprivate_key={ca.with_name('ca.key')}\nx509_extensions=names\n"
        "[any]\ncommonName=supplied\n[names]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
    )
    (folder / "index").touch()

    def make(name: str):
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
        openssl(folder, "req", "-new", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        days = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
        openssl(
            folder,
            "ca",
            "-config",
            "ca.cnf",
            "-batch",
            "-rand_serial",
            "-in",
            f"{name}.csr",
            "-out",
            f"{name}.pem",
            *days,
        )
        return folder / f"{name}.pem", folder / f"{name}.key"

    return make


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("stranger")
    arguments = (
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-noenc",
        "-days",
        "2",
        "-subj",
        "/CN=client",
    )
    openssl(folder, "req", "-x509", *arguments, "-keyout", "it.key", "-out", "it.pem")
    return folder / "it.pem", folder / "it.key"


def live(port: int, ca, pair=None) -> int:
    context = ssl.create_default_context(cafile=str(ca))
    if pair is not None:
        context.load_cert_chain(*pair)
    opener = urllib.request.build_opener(OPENER, urllib.request.HTTPSHandler(context=context))
    with opener.open(f"https://localhost:{port}/v1/health/live", timeout=60) as reply:
        return reply.status


def test_an_expired_certificate_of_the_service_is_reported_at_startup(start, certificates, stale):
    certificate, key = stale("localhost")

    process = start(DEPTHHMR_TLS_CERTIFICATE=str(certificate), DEPTHHMR_TLS_KEY=str(key))

    assert process.ended() == 2
    assert "localhost.pem was valid until 2020-01-02" in process.error and "Traceback" not in process.error


def test_clients_with_an_expired_or_foreign_certificate_get_no_connection(start, certificates, stale, stranger):
    ca, (certificate, key), good = certificates
    variables = {"TLS_CERTIFICATE": certificate, "TLS_KEY": key, "TLS_CLIENT_CA": ca}
    process = start(**{f"DEPTHHMR_{name}": str(path) for name, path in variables.items()}).until_ready()

    assert live(process.port, ca, good) == 200
    for pair in (None, stranger, stale("client")):
        with pytest.raises((OSError, urllib.error.URLError)):
            live(process.port, ca, pair)
    assert live(process.port, ca, good) == 200 and "Traceback" not in process.error

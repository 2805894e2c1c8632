"""Tokens of an external issuer: which are accepted, which are refused, and what a JWKS file may hold."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from bodykit.errors import UserError
from depthhmr_cli.running import running_service
from service.access.authenticator import FileAuthenticator, open_authenticator
from service.access.jwts import MAX_TOKEN_LENGTH, Tokens, read_jwks
from service.access.keys import hash_of, new_key
from service.access.rules import TokenRules
from service.access.watched import Watched
from service.errors import Unauthenticated
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub
from service.settings import Settings

pytestmark = pytest.mark.anyio
RULES = TokenRules("https://issuer.example", "depthhmr", leeway_s=5)
PRIVATE = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
WRITERS = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def jwk(algorithm: str, key=None, **changes) -> dict:
    public = (key or PRIVATE[algorithm]).public_key()
    return {**json.loads(WRITERS[algorithm].to_jwk(public)), "kid": algorithm, **changes}


def write(path: Path, *keys: dict) -> Path:
    path.write_text(json.dumps({"keys": list(keys)}))
    return path


def token(algorithm: str = "ES256", key=None, headers: dict | None = None, **changes) -> str:
    now = int(time.time())
    claims = {"iss": RULES.issuer, "aud": RULES.audience, "sub": "camera-7", "iat": now, "exp": now + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key or PRIVATE[algorithm], algorithm, headers={"kid": algorithm, **(headers or {})})


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Tokens:
    path = write(tmp_path_factory.mktemp("jwks") / "jwks.json", *(jwk(name) for name in PRIVATE))
    return Tokens(read_jwks(path), RULES)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_a_token_of_each_algorithm_names_its_subject(tokens, algorithm):
    assert tokens.authenticate(token(algorithm)) == "jwt:camera-7"
    assert tokens.authenticate(token(algorithm, aud=["other", "depthhmr"], exp=int(time.time()) - 2)) == "jwt:camera-7"


NOW = int(time.time())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exp": NOW - 60}, "has expired"),
        ({"nbf": NOW + 86_400}, "not valid yet"),
        ({"aud": "another"}, "not meant for this service"),
        ({"iss": "https://evil.example"}, r"issuer is not trusted \(iss\)"),
        ({"exp": None}, "lacks one of"),
        ({"aud": None}, "lacks one of"),
        ({"iss": None}, "lacks one of"),
        ({"sub": None}, "lacks one of"),
        ({"sub": ""}, "sub must be printable text"),
        ({"sub": "x" * 129}, "sub must be printable text"),
        ({"sub": "a\nb"}, "sub must be printable text"),
        ({"exp": "soon"}, "cannot be read"),
        ({"exp": float("inf")}, "cannot be read"),
    ],
)
def test_a_token_that_says_the_wrong_thing_is_refused(tokens, changes, message):
    with pytest.raises(Unauthenticated, match=message):
        tokens.authenticate(token(**changes))


def test_a_token_without_a_signature_is_refused(tokens):
    claims = json.dumps({"iss": RULES.issuer, "aud": RULES.audience, "sub": "me", "exp": NOW + 60}).encode()

    for algorithm in ("none", "None", "nOnE"):
        header = json.dumps({"alg": algorithm, "typ": "JWT", "kid": "ES256"}).encode()
        with pytest.raises(Unauthenticated):
            tokens.authenticate(f"{part(header)}.{part(claims)}.")


@pytest.mark.parametrize("kid", PRIVATE)
def test_a_public_key_is_never_taken_for_a_shared_secret(tokens, kid):
    """The oldest attack on JWT: sign with HMAC, with the public key as the shared secret."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    secret = PRIVATE[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode())
    claims = part(json.dumps({"iss": RULES.issuer, "aud": RULES.audience, "sub": "me", "exp": NOW + 60}).encode())
    signature = part(hmac.new(secret, f"{header}.{claims}".encode(), hashlib.sha256).digest())

    with pytest.raises(Unauthenticated, match="algorithm does not fit its key"):
        tokens.authenticate(f"{header}.{claims}.{signature}")


def test_a_token_signed_with_another_key_is_refused(tokens):
    stranger = ec.generate_private_key(ec.SECP256R1())

    with pytest.raises(Unauthenticated, match="signature is wrong"):
        tokens.authenticate(token("ES256", stranger))
    for kid in ("unknown", ""):
        with pytest.raises(Unauthenticated, match=r"\(kid\) is not known"):
            tokens.authenticate(token(headers={"kid": kid}))
    head, _, signature = token().split(".")
    other = token(sub="admin").split(".")[1]
    with pytest.raises(Unauthenticated, match="signature is wrong"):
        tokens.authenticate(f"{head}.{other}.{signature}")


def test_a_key_that_the_token_brings_along_is_not_used(tokens):
    stranger = ec.generate_private_key(ec.SECP256R1())
    headers = {"jwk": jwk("ES256", stranger), "jku": "https://evil.example/jwks.json", "x5u": "https://evil.example"}

    with pytest.raises(Unauthenticated, match="signature is wrong"):
        tokens.authenticate(token("ES256", stranger, headers=headers))


@pytest.mark.parametrize(
    "text", ["..", "a.b.c", "e30.e30.", "\x00.\x00.\x00", "💥.💥.💥", "." * 2 + "x" * MAX_TOKEN_LENGTH]
)
def test_rubbish_is_refused_and_not_repeated(tokens, text):
    with pytest.raises(Unauthenticated) as refused:
        tokens.authenticate(text)

    assert text not in str(refused.value)


def test_without_an_id_the_only_key_is_meant_and_no_other(tmp_path):
    now = int(time.time())
    claims = {"iss": RULES.issuer, "aud": RULES.audience, "sub": "me", "exp": now + 60}
    nameless = jwt.encode(claims, PRIVATE["EdDSA"], "EdDSA")

    one = Tokens(read_jwks(write(tmp_path / "one", jwk("EdDSA"))), RULES)
    two = Tokens(read_jwks(write(tmp_path / "two", jwk("EdDSA"), jwk("ES256"))), RULES)

    assert one.authenticate(nameless) == "jwt:me"
    with pytest.raises(Unauthenticated, match=r"\(kid\) is not known"):
        two.authenticate(nameless)


SMALL = rsa.generate_private_key(65537, 1024)
WIDE = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        pytest.param("[" * 100_000, "cannot be read", id="deep"),
        ("[]", "is not a JWKS document"),
        ('{"keys": {}}', "is not a JWKS document"),
        ('{"keys": []}', "holds no key"),
        ('{"keys": ["x"]}', "key 1: expected an object, got str"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', r"expected a public key .* got a shared secret \(oct\)"),
        ('{"keys": [{"kty": "RSA"}]}', "the key cannot be used"),
        ('{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}', "the key cannot be used"),
        (json.dumps({"keys": [{**jwk("EdDSA"), "d": "AAAA"}]}), "expected the public part only, got a private key"),
        (json.dumps({"keys": [jwk("EdDSA"), jwk("EdDSA")]}), "expected a unique string as kid, got 'EdDSA'"),
        (json.dumps({"keys": [jwk("EdDSA", kid=5)]}), "expected a unique string as kid, got 5"),
        (json.dumps({"keys": [jwk("RS256", alg="HS256")]}), "got 'HS256'"),
        (json.dumps({"keys": [jwk("RS256", alg="PS256")]}), "expected alg 'RS256'"),
        (json.dumps({"keys": [jwk("RS256", SMALL)]}), "got 1024 bits"),
        (json.dumps({"keys": [jwk("ES256", WIDE)]}), "expected a key of type RSA, P-256 or Ed25519"),
        (json.dumps({"keys": [jwk("RS256", use="enc")]}), "holds no key"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_a_clear_error(tmp_path, text, message):
    path = tmp_path / "jwks.json"
    path.write_text(text)

    with pytest.raises(UserError, match=message) as refused:
        read_jwks(path)
    assert "c2VjcmV0" not in str(refused.value)


def test_keys_change_without_a_restart_and_a_broken_file_changes_nothing(tmp_path, caplog):
    path = write(tmp_path / "jwks.json", jwk("ES256"))
    watched = Watched(path, lambda found: Tokens(read_jwks(found), RULES))
    authenticator = FileAuthenticator(tokens=watched)
    assert authenticator.authenticate(token("ES256")) == "jwt:camera-7"

    write(path, jwk("EdDSA"), jwk("RS256"))
    watched.refresh()
    assert authenticator.authenticate(token("EdDSA")) == "jwt:camera-7"
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(token("ES256"))

    path.write_text("{")
    for _ in range(3):
        watched.refresh()
    assert authenticator.authenticate(token("RS256")) == "jwt:camera-7"
    assert len([line for line in caplog.messages if "stays in use" in line]) == 1


def test_keys_and_tokens_stand_beside_each_other(tmp_path):
    api_keys = tmp_path / "keys"
    api_keys.write_text(f"me {hash_of('secret')}\n")
    jwks = write(tmp_path / "jwks.json", jwk("ES256"))
    rules = {"jwt_jwks_file": jwks, "jwt_issuer": RULES.issuer, "jwt_audience": RULES.audience}
    both = open_authenticator(Settings(api_keys_file=api_keys, **rules))
    tokens_alone = open_authenticator(Settings(**rules))
    assert both is not None and tokens_alone is not None

    assert both.authenticate("secret") == "me" and both.authenticate(token()) == "jwt:camera-7"
    assert tokens_alone.authenticate(token()) == "jwt:camera-7"
    for authenticator, message in (
        (both, "an API key .* or a token .* is needed"),
        (tokens_alone, "a token .* is needed"),
    ):
        for nothing in (None, ""):
            with pytest.raises(Unauthenticated, match=message):
                authenticator.authenticate(nothing)
    with pytest.raises(Unauthenticated):
        tokens_alone.authenticate("secret")
    assert open_authenticator(Settings()) is None


def test_no_api_key_looks_like_a_token():
    assert all("." not in new_key() for _ in range(100))


@pytest.mark.slow
async def test_the_running_service_takes_tokens_and_keys_and_follows_their_files(tmp_path, model_dir, monkeypatch):
    """Both protocols of the real process, while its files change."""
    api_keys, jwks = tmp_path / "keys", write(tmp_path / "jwks.json", jwk("ES256"))
    api_keys.write_text(f"me {hash_of('first')}\n")
    variables = {
        "API_KEYS_FILE": api_keys,
        "JWT_JWKS_FILE": jwks,
        "JWT_ISSUER": RULES.issuer,
        "JWT_AUDIENCE": RULES.audience,
        "RATE_LIMIT": "40/hour",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"DEPTHHMR_{name}", str(value))
    with running_service("--model-dir", str(model_dir)) as service:
        async with (
            httpx.AsyncClient(base_url=service.address, trust_env=False) as rest,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
        ):
            stub = ReconstructionServiceStub(channel)

            async def ask(given: str) -> tuple[int, str]:
                answer = await rest.get("/v1/version", headers={"Authorization": f"Bearer {given}"})
                call = stub.GetInfo(pb.GetInfoRequest(), metadata=(("authorization", f"Bearer {given}"),))
                return answer.status_code, (await call.code()).name

            good, bad, full = (200, "OK"), (401, "UNAUTHENTICATED"), (429, "RESOURCE_EXHAUSTED")
            assert await ask("first") == await ask(token("ES256")) == good
            assert await ask("second") == await ask(token("EdDSA")) == await ask(token(aud="else")) == bad

            api_keys.write_text(f"me {hash_of('second')}\n")
            write(jwks, jwk("EdDSA"))
            end = time.monotonic() + 10
            for old in ("first", token("ES256")):
                while (await rest.get("/v1/version", headers={"X-API-Key": old})).status_code == 200:
                    assert time.monotonic() < end, "the changed file was not reloaded"
                    await asyncio.sleep(0.2)
            assert await ask("second") == await ask(token("EdDSA")) == good
            assert await ask(token("ES256")) == bad

            for _ in range(40):  # one count for both protocols
                await ask(token("EdDSA", sub="eager"))
            assert await ask(token("EdDSA", sub="eager")) == full
            assert await ask(token("EdDSA", sub="calm")) == good

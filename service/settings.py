"""The settings, read once from defaults, a TOML file, the environment (`DEPTHHMR_*`) and flags; the later ones win."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from bodykit.errors import UserError

PREFIX = "DEPTHHMR_"
FILE_VARIABLE = PREFIX + "SETTINGS"
SERVICE_PORT = re.compile(r"(tcp|udp|sctp)://.*")  # NAME_PORT of a Service in Kubernetes
# host:port, [::1]:port, or a gRPC target such as dns:///host:port
TRITON_URL = re.compile(r"([a-z][a-z0-9+.-]*:///)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
ORIGIN = re.compile(
    r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?"
)  # as browsers send it: without a path or slash
MESSAGE_OVERHEAD = 64 * 1024  # bytes of a gRPC request besides its image
MODEL_FOLDER = Path("model_repository") / "depthhmr"


def default_model_dir() -> Path:
    """The model folder beside the source tree; for an installed package, in the working directory, else its own."""
    beside = Path(__file__).resolve().parents[1] / MODEL_FOLDER
    installed = Path(__file__).resolve().parent / "shipped" / MODEL_FOLDER.name
    return next((folder for folder in (beside, MODEL_FOLDER, installed) if folder.is_dir()), MODEL_FOLDER)


class _SettingsFile(TomlConfigSettingsSource):
    def _read_file(self, file_path: Any) -> dict[str, Any]:
        """With or without the byte order mark that editors on Windows add."""
        return tomllib.loads(file_path.read_text(encoding="utf-8-sig"))


class Settings(BaseSettings):
    """All settings, as one frozen object that the composition root creates and passes down."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    engine: str = Field(
        "embedded",
        description="what runs the network: embedded, triton, or auto (triton where its host has an address)",
    )
    triton_url: str = Field("127.0.0.1:8001", description="address of Triton's gRPC, as host:port")
    triton_model: str | None = Field(None, description="the model's name in Triton; none takes the manifest's")
    triton_concurrency: int = Field(
        16, ge=1, le=1024, description="calls to Triton in progress at once; twice its largest batch keeps it full"
    )
    triton_probe_s: float = Field(5.0, ge=0.25, description="longest time without proof that Triton works, in seconds")
    threads: int = Field(0, ge=0, le=256, description="threads of the embedded network; 0 follows the CPU quota")
    workers: int = Field(
        0, ge=0, le=256, description="threads that decode images and write results; 0 follows the CPU quota"
    )

    model_dir: Path = Field(default_factory=default_model_dir, description="folder with manifest.json and 1/model.onnx")
    model_variant: str | None = Field(
        None, description="variant of the network that the embedded engine runs; none takes the manifest's own graph"
    )
    body: Path | None = Field(None, description="body file; none takes the free body")

    max_body_bytes: int = Field(16 * 2**20, ge=1024, description="bytes of one request")
    max_batch_bytes: int = Field(128 * 2**20, ge=1024, description="bytes of one batch request")
    max_batch_images: int = Field(32, ge=1, le=1024, description="images in one batch request")
    # Pillow's own bomb check stays at 89 megapixels; a limit above it could never be reached.
    max_megapixels: float = Field(40.0, gt=0, le=80, description="megapixels of one image")
    max_side: int = Field(12_000, ge=1, le=60_000, description="pixels of an image's longer side")
    max_people: int = Field(64, ge=1, le=1024, description="people in one answer")
    max_concurrency: int = Field(
        256,
        ge=1,
        description="images in work or waiting; more are refused with 503, and earlier where they would miss their deadline",
    )
    max_held_bytes: int = Field(
        512 * 2**20,
        ge=2**17,
        description="bytes of all requests, batches and frames held at once; more are refused, frames of streams held back",
    )
    request_timeout_s: float = Field(30.0, gt=0, description="deadline of one image, in seconds")
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        le=300,
        description="how long requests are still taken after SIGTERM, with readiness gone, so that proxies notice; in seconds",
    )
    shutdown_timeout_s: int = Field(10, ge=1, description="time that running requests get after that, in seconds")

    max_streams: int = Field(1000, ge=1, description="open streams; more are refused")
    max_in_flight: int = Field(8, ge=1, le=64, description="frames of one stream in work at once")
    stream_idle_s: float = Field(30.0, gt=0, description="how long a stream may be silent, in seconds")
    stream_timeout_s: float = Field(3600.0, gt=0, description="how long a stream may last, in seconds")
    keep_alive_s: int = Field(
        75,
        ge=1,
        le=3600,
        description="how long an idle HTTP connection is kept open; longer than a proxy in front does",
    )
    grpc_keepalive_s: float = Field(
        60.0, ge=1, description="silence after which a connection is asked whether it lives, in seconds"
    )
    grpc_max_connection_age_s: float = Field(
        0.0, ge=0, description="age after which clients connect anew, in seconds; 0 means never"
    )
    grpc_reflection: bool = Field(True, description="tell gRPC clients what can be called")

    tls_certificate: Path | None = Field(None, description="PEM file; with it REST and gRPC speak TLS only")
    tls_key: Path | None = Field(None, description="PEM file of the certificate's private key")
    tls_client_ca: Path | None = Field(
        None, description="PEM file; with it clients must show a certificate that it signed"
    )
    api_keys_file: Path | None = Field(None, description="lines of NAME SHA256; with it every client must show a key")
    jwt_jwks_file: Path | None = Field(None, description="public keys (JWKS); with it a signed token serves as a key")
    jwt_issuer: str | None = Field(None, description="the iss of every token; needed with jwt_jwks_file")
    jwt_audience: str | None = Field(None, description="the aud of every token; needed with jwt_jwks_file")
    jwt_leeway_s: float = Field(
        30.0, ge=0, le=300, description="how far this clock may be from the issuer's, in seconds"
    )
    cors_origins: str | None = Field(
        None,
        description="origins whose pages may call, separated by commas, such as https://app.example; none: no page",
    )
    rate_limit: str | None = Field(
        None, description="requests of one caller, such as 600/minute; more are refused with 429; none: no limit"
    )

    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="least severe lines in the log: debug, info, warning or error",
    )
    log_format: str = Field(
        "text", pattern="^(text|json)$", description="form of the log: text, or json (one object per line)"
    )
    access_log: bool = Field(True, description="a line in the log for every request, call and stream")
    traces: str = Field(
        "off", pattern="^(off|otlp)$", description="where traces go: off, or otlp (to where the OTEL_ variables say)"
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port of REST and the web page; 0 takes any free one")
    grpc_port: int = Field(50051, ge=0, le=65535, description="port of gRPC, on the same host; 0 takes any free one")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> "Settings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        return self

    @model_validator(mode="after")
    def _largest_request_can_be_held(self) -> "Settings":
        largest = max(self.max_body_bytes + MESSAGE_OVERHEAD, self.max_batch_bytes)
        if self.max_held_bytes < largest:
            raise ValueError(f"max_held_bytes must be at least {largest}, so that the largest request or batch fits")
        return self

    @model_validator(mode="after")
    def _tokens_are_bound(self) -> "Settings":
        """Without issuer and audience, a token for another service of the same issuer would be accepted."""
        given = [self.jwt_jwks_file, self.jwt_issuer, self.jwt_audience]
        if any(given) and not all(given):
            raise ValueError("jwt_jwks_file, jwt_issuer and jwt_audience go together")
        return self

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str | None) -> str | None:
        for origin in (value or "").split(","):
            if value is not None and not ORIGIN.fullmatch(origin.strip()):
                raise ValueError("must be origins such as https://app.example or http://localhost:3000, and never *")
        return value

    @field_validator("rate_limit")
    @classmethod
    def _is_rate(cls, value: str | None) -> str | None:
        if value is not None:
            from service.limits.rate_limit import parse_rate  # this import takes 0.1 s: only when a rate is set

            parse_rate(value)
        return value

    @field_validator("triton_url")
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        if not TRITON_URL.fullmatch(value):
            raise ValueError("must be host:port of Triton's gRPC, without http:// (its default port is 8001)")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = (init_settings, env_settings)
        path = os.environ.get(FILE_VARIABLE)
        return (*sources, _SettingsFile(settings_cls, Path(path))) if path else sources


DEFAULTS = Settings.model_construct()  # whatever file, environment and flags say
IN_FILE = {name: name for name in Settings.model_fields}  # how each setting is written there
IN_ENVIRONMENT = {name: PREFIX + name.upper() for name in (*IN_FILE, "settings")}


def written_default(name: str) -> str:
    """A setting's default as its variable would hold it: empty for none, and for what depends on the place of installation."""
    default = Settings.model_fields[name].default
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if isinstance(default, int | str) else ""


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from file, environment and `flags`, where None means "not given". Raises UserError.

    A variable DEPTHHMR_* that is not a setting is an error: if it were ignored, a misspelling could leave the service without
    authentication.
    """
    if unknown := unknown_variables(os.environ):
        raise UserError("; ".join(f"{name} {_unknown(name, IN_ENVIRONMENT)}" for name in unknown))
    path = os.environ.get(FILE_VARIABLE)
    if path and not Path(path).is_file():
        raise UserError(f"the settings file {path} (from {FILE_VARIABLE}) does not exist")
    try:
        return Settings(**{name: value for name, value in (flags or {}).items() if value is not None})
    except ValidationError as error:
        raise UserError("; ".join(_sentence(item) for item in error.errors())) from error
    except ValueError as error:  # invalid TOML
        raise UserError(f"the settings file {path} cannot be read: {error}") from error


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The variables with the prefix DEPTHHMR_ that are not settings, sorted.

    With `enableServiceLinks` (disabled in our manifests), Kubernetes sets variables for each Service of the namespace. Those of
    a Service called depthhmr-web (DEPTHHMR_WEB_PORT=tcp://..., DEPTHHMR_WEB_SERVICE_HOST, ...) are not mistakes, and are
    ignored.
    """
    services = [
        name.removesuffix("_PORT")
        for name, value in environment.items()
        if name.endswith("_PORT") and SERVICE_PORT.fullmatch(value)
    ]
    links = tuple(f"{service}_{part}" for service in services for part in ("SERVICE_", "PORT"))
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX)
        and _bare(name) not in IN_FILE
        and name != FILE_VARIABLE
        and not name.startswith(links)
    )


def _bare(name: str) -> str:
    return name.lower().removeprefix(PREFIX.lower())


def _unknown(name: str, spelling: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(_bare(name), spelling, n=1)
    hint = f"did you mean {spelling[close[0]]}?" if close else ".env.example lists them all"
    return f"is not a setting; {hint}"


def _sentence(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":  # from the file: only known names are read from the environment
        rule = f"where names are written in lower case and without {PREFIX} (port = 9000)"
        return f"{name} in the settings file, {rule}, {_unknown(name, IN_FILE)}"
    return f"setting {name} ({PREFIX}{name.upper()}): {item['msg'].lower()}, got {item['input']!r}"

import argparse
from pathlib import Path

import pytest

from bodykit.errors import UserError
from depthhmr_cli import triton
from service.client.address import PORTS
from service.settings import DEFAULTS, load_settings


def test_flags_win_over_the_environment_and_the_environment_over_the_file(monkeypatch, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('port = 1111\nhost = "0.0.0.0"\nlog_level = "debug"\n')
    monkeypatch.setenv("DEPTHHMR_SETTINGS", str(file))
    monkeypatch.setenv("DEPTHHMR_HOST", "127.0.0.2")
    monkeypatch.setenv("DEPTHHMR_PORT", "2222")

    settings = load_settings({"port": 3333, "host": None})

    assert (settings.port, settings.host, settings.log_level) == (3333, "127.0.0.2", "debug")


def test_without_anything_the_service_listens_on_this_machine_only():
    settings = load_settings()

    assert (settings.host, settings.port, settings.engine) == ("127.0.0.1", 8000, "embedded")
    assert settings.model_dir.parts[-2:] == ("model_repository", "depthhmr")


def test_defaults_are_the_same_whatever_the_environment_says(monkeypatch):
    from service.settings import Settings

    monkeypatch.setenv("DEPTHHMR_PORT", "1234")

    assert Settings.model_construct() == DEFAULTS and DEFAULTS.port == 8000


def test_the_client_and_the_local_triton_use_the_default_ports():
    """The client imports no settings: it works without pydantic."""
    parser = argparse.ArgumentParser()
    triton.add_arguments(parser)

    assert PORTS["grpc"] == DEFAULTS.grpc_port
    assert DEFAULTS.triton_url == f"127.0.0.1:{parser.parse_args(['serve']).grpc_port}"


def test_an_empty_variable_counts_as_not_given(monkeypatch):
    monkeypatch.setenv("DEPTHHMR_MODEL_DIR", "")

    assert load_settings().model_dir != Path("")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DEPTHHMR_PORT", "70000", r"setting port \(DEPTHHMR_PORT\): .*65535, got '70000'"),
        ("DEPTHHMR_PORT", "http", "setting port"),
        ("DEPTHHMR_MAX_MEGAPIXELS", "-1", "setting max_megapixels"),
        ("DEPTHHMR_TRITON_URL", "http://triton:8000", r"must be host:port of triton's grpc, without http://"),
        ("DEPTHHMR_TRITON_URL", "triton", r"must be host:port .*8001\), got 'triton'"),
        ("DEPTHHMR_TRITON_CONCURRENCY", "0", "setting triton_concurrency"),
        ("DEPTHHMR_LOG_LEVEL", "loud", "setting log_level"),
    ],
)
def test_an_invalid_value_is_reported_in_one_sentence(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)

    with pytest.raises(UserError, match=message):
        load_settings()


def test_a_missing_settings_file_is_named(monkeypatch):
    monkeypatch.setenv("DEPTHHMR_SETTINGS", "nowhere.toml")

    with pytest.raises(UserError, match=r"the settings file nowhere\.toml .* does not exist"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = [", "cannot be read"),
        ("prot = 1", r"^prot in the settings file, .*, is not a setting; did you mean port\?$"),
        (
            "DEPTHHMR_PORT = 1",
            r"^DEPTHHMR_PORT .* in lower case and without DEPTHHMR_ \(port = 9000\), .* mean port\?$",
        ),
        ("[server]\nport = 1", "^server in the settings file, .*, is not a setting"),
    ],
)
def test_a_wrong_settings_file_is_refused(monkeypatch, tmp_path, text, message):
    file = tmp_path / "settings.toml"
    file.write_text(text)
    monkeypatch.setenv("DEPTHHMR_SETTINGS", str(file))

    with pytest.raises(UserError, match=message):
        load_settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DEPTHHMR_API_KEY_FILE", "did you mean DEPTHHMR_API_KEYS_FILE?"),
        ("depthhmr_api_key_file", "did you mean DEPTHHMR_API_KEYS_FILE?"),
        ("DEPTHHMR_SETTING", "did you mean DEPTHHMR_SETTINGS?"),
        ("depthhmr_settings", "did you mean DEPTHHMR_SETTINGS?"),
        ("DEPTHHMR_QUUX", ".env.example lists them all"),
    ],
)
def test_a_misspelled_variable_is_refused_because_it_would_leave_the_service_without_its_keys(monkeypatch, name, meant):
    monkeypatch.setenv(name, "keys.txt")

    with pytest.raises(UserError) as refusal:
        load_settings()

    assert str(refusal.value) == f"{name} is not a setting; {meant}"


def test_variables_of_another_case_are_no_mistake(monkeypatch):
    monkeypatch.setenv("depthhmr_port", "1234")

    assert load_settings().port == 1234


def test_variables_that_kubernetes_sets_for_its_services_are_no_mistake(monkeypatch):
    """As in a pod beside Services called depthhmr and depthhmr-web, with service links enabled."""
    for service, port in (("DEPTHHMR", 8000), ("DEPTHHMR_WEB", 80)):
        link = f"tcp://10.0.0.1:{port}"
        monkeypatch.setenv(f"{service}_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv(f"{service}_SERVICE_PORT", str(port))
        monkeypatch.setenv(f"{service}_SERVICE_PORT_HTTP", str(port))
        monkeypatch.setenv(f"{service}_PORT", link)
        monkeypatch.setenv(f"{service}_PORT_{port}_TCP", link)
        monkeypatch.setenv(f"{service}_PORT_{port}_TCP_ADDR", "10.0.0.1")

    with pytest.raises(UserError, match=r"^setting port \(DEPTHHMR_PORT\): .*'tcp://10.0.0.1:8000'$"):
        load_settings()
    assert load_settings({"port": 8000}).port == 8000


def test_a_name_like_those_of_kubernetes_without_its_service_is_a_mistake(monkeypatch):
    monkeypatch.setenv("DEPTHHMR_WEB_PORT", "9000")
    monkeypatch.setenv("DEPTHHMR_WEB_SERVICE_HOST", "0.0.0.0")

    with pytest.raises(
        UserError, match=r"^DEPTHHMR_WEB_PORT is not a setting.*; DEPTHHMR_WEB_SERVICE_HOST is not a setting"
    ):
        load_settings()


def test_a_byte_order_mark_at_the_start_of_the_file_is_skipped(monkeypatch, tmp_path):
    (tmp_path / "settings.toml").write_text("\ufeffport = 9000\n", encoding="utf-8")
    monkeypatch.setenv("DEPTHHMR_SETTINGS", str(tmp_path / "settings.toml"))

    assert load_settings().port == 9000

"""Proxies from the environment: which values are used, which are refused by name, which entries of NO_PROXY are skipped."""

import os

import pytest

from service.client import Client, InvalidUse
from service.client.address import Address
from service.client.proxies import is_excluded, proxy_of

FAR = "http://service.example:8000"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1", "ALL_PROXY does not name a proxy: expected http://host:port, "),
        (
            "ALL_PROXY",
            "socks5://127.0.0.1:1",
            r"ALL_PROXY names a SOCKS proxy, which needs: pip install 'httpx\[socks\]'",
        ),
        ("HTTP_PROXY", " http://127.0.0.1:1", "HTTP_PROXY does not name a proxy: .*got ' http://127.0.0.1:1'"),
        ("http_proxy", "http://[::1", "http_proxy does not name a proxy"),
        ("http_proxy", "http://host:port", "http_proxy does not name a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)

    with Client(FAR) as client, pytest.raises(InvalidUse, match=message):
        client.info()


@pytest.mark.parametrize("value", ["http://127.0.0.1:3128", "127.0.0.1:3128"])
def test_a_proxy_that_can_be_used_is(monkeypatch, value):
    monkeypatch.setenv("HTTP_PROXY", value)
    proxy = proxy_of(Address.parse(FAR))

    assert proxy is not None and str(proxy.url) == "http://127.0.0.1:3128"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_never_reached_through_a_proxy(monkeypatch, host):
    monkeypatch.setenv("ALL_PROXY", "socks://nonsense")

    assert proxy_of(Address.parse(f"http://{host}:8000")) is None


@pytest.mark.parametrize(
    ("address", "no_proxy", "excluded"),
    [
        (FAR, "", False),
        (FAR, "*", True),
        (FAR, "service.example", True),
        (FAR, "example", True),
        (FAR, ".example", True),
        (FAR, "*.example", True),
        (FAR, ".service.example", False),
        (FAR, "ice.example", False),
        (FAR, "service.example:8000", True),
        (FAR, "service.example:9000", False),
        (FAR, "http://service.example", True),
        (FAR, "https://service.example", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.4", False),
        ("http://[fd00::1]", "fd00::/8", True),
        (FAR, "::1/128", False),
        (FAR, "http://[, ::1/129, host:port,, service.example", True),
    ],
)
def test_no_proxy_is_read_entry_by_entry_and_what_cannot_be_read_is_skipped(monkeypatch, address, no_proxy, excluded):
    assert is_excluded(Address.parse(address), no_proxy) == excluded

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_of(Address.parse(address)) is None) == excluded

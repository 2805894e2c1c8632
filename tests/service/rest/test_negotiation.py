import pytest

from service.errors import NotAcceptable
from service.rest.negotiation import choose

OFFERED = ["application/json", "model/gltf-binary", "image/jpeg", "image/png"]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        (BROWSER, "application/json"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("model/gltf-binary", "model/gltf-binary"),
        ("image/*", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/png;q=0.5, image/jpeg;q=0.4", "image/png"),
        ("image/png;q=0.5,image/jpeg;q=0.5", "image/jpeg"),
        ("image/jpeg;q=0, image/*", "image/png"),
        ("application/json;q=0, */*;q=0.1", "model/gltf-binary"),
        ("text/html, image/png;q=0.1", "image/png"),
        ("nonsense, image/png", "image/png"),
    ],
)
def test_the_client_gets_what_it_likes_best(accept, expected):
    assert choose(accept, OFFERED) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/*;q=0",
        "nonsense",
        "*/*;q=0",
        "image/png;q=2",
        "image/png;q=nan",
        "image/png;q=x",
        "*/json",
    ],
)
def test_what_is_not_on_offer_is_refused_with_the_list(accept):
    with pytest.raises(NotAcceptable, match=r"can answer with application/json, .* accepts only"):
        choose(accept, OFFERED)

"""Malformed HTTP over bare sockets: the service answers or closes the connection, and keeps running."""

import gzip
import json
import re
import socket
import time

import pytest

from depthhmr_cli.running import running_service

pytestmark = pytest.mark.slow

PATH = "/v1/reconstruct"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
ANSWER_S = 10.0


@pytest.fixture(scope="module")
def service(model_dir):
    arguments = ("--model-dir", str(model_dir), "--log-level", "warning", "--request-timeout-s", "2")
    with running_service(*arguments) as running:
        yield running


@pytest.fixture
def ask(service, people_jpeg):
    """Sends bytes and returns everything received; afterwards an ordinary request must still be answered."""

    def send(*pieces: bytes, half_close: bool = False, pause_s: float = 0.0) -> bytes:
        with socket.create_connection(("127.0.0.1", service.port), ANSWER_S) as connection:
            for piece in pieces:
                try:
                    connection.sendall(piece)
                except OSError:  # already closed by the service
                    break
                time.sleep(pause_s)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return received(connection)

    yield send
    plain = head(f"Content-Length: {len(people_jpeg)}", "Connection: close")
    assert send(plain, people_jpeg).startswith(b"HTTP/1.1 200")


def head(*lines: str) -> bytes:
    return (HEAD + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode("latin-1")


def received(connection: socket.socket) -> bytes:
    """Read until the server closes or is silent for longer than any response takes."""
    connection.settimeout(3.5)
    found = bytearray()
    try:
        while piece := connection.recv(65_536):
            found += piece
    except (TimeoutError, ConnectionResetError):
        pass
    return bytes(found)


def test_a_body_shorter_than_announced_ends_in_a_timeout(ask, people_jpeg):
    assert ask(head(f"Content-Length: {len(people_jpeg) + 10}"), people_jpeg).startswith(b"HTTP/1.1 408")


def test_bytes_beyond_the_announced_length_are_not_part_of_the_picture(ask, people_jpeg):
    answer = ask(head(f"Content-Length: {len(people_jpeg) - 10}"), people_jpeg)

    # The surplus is parsed as the next request, whose refusal may arrive first.
    assert answer[:12] in (b"HTTP/1.1 422", b"HTTP/1.1 400")


def test_two_ways_of_telling_the_length_are_refused(ask, people_jpeg):
    assert ask(head("Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "99999999999999999999999"])
def test_a_length_that_is_none_is_refused(ask, length):
    assert ask(head(f"Content-Length: {length}"), b"x")[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413")


def test_a_body_in_chunks_of_six_bytes_is_a_body(ask, people_jpeg):
    pieces = [people_jpeg[begin : begin + 6] for begin in range(0, len(people_jpeg), 6)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    assert ask(head("Transfer-Encoding: chunked", "Connection: close"), body).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("chunk", [b"zz\r\nab\r\n", b"ffffffffffffffffff\r\n", b"5\r\nabcdefgh\r\n"])
def test_a_chunk_that_is_none_is_refused(ask, chunk):
    assert ask(head("Transfer-Encoding: chunked"), chunk)[:12] in (b"HTTP/1.1 400", b"")


def test_a_body_that_was_compressed_is_not_unpacked(ask):
    bomb = gzip.compress(bytes(50_000_000))

    answer = ask(head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}", "Connection: close"), bomb)

    assert answer.startswith(b"HTTP/1.1 415") and b"gzip" in answer


def test_expect_100_continue_is_answered(ask, people_jpeg):
    request = head(f"Content-Length: {len(people_jpeg)}", "Expect: 100-continue", "Connection: close")

    answer = ask(request, people_jpeg, pause_s=0.2)

    assert answer.startswith(b"HTTP/1.1 100") and b"HTTP/1.1 200" in answer


def test_requests_one_behind_the_other_are_answered_in_order(ask, people_jpeg):
    good = head(f"Content-Length: {len(people_jpeg)}") + people_jpeg
    bad = head("Content-Length: 4", "Connection: close") + b"GIF8"

    answer = ask(good + bad)

    assert answer.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 415" in answer


def test_the_old_protocol_is_understood(ask, people_jpeg):
    request = head(f"Content-Length: {len(people_jpeg)}").replace(b"HTTP/1.1", b"HTTP/1.0")

    assert b" 200 " in ask(request, people_jpeg)[:20]


def test_a_client_that_only_closes_its_own_side_may_be_answered(ask, people_jpeg):
    answer = ask(head(f"Content-Length: {len(people_jpeg)}"), people_jpeg, half_close=True)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 200")


def test_a_header_of_two_megabytes_is_refused(ask):
    # A client that is still sending may see the connection close instead of the response.
    assert ask(head("X-Big: " + "a" * 2_000_000, "Content-Length: 0"))[:12] in (b"HTTP/1.1 431", b"")


def test_a_head_just_below_the_limit_is_served(ask):
    answer = ask(
        b"GET /v1/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Big: " + b"a" * 60_000 + b"\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_head_that_does_not_come_ends_the_connection(service, sent):
    with socket.create_connection(("127.0.0.1", service.port), 20) as connection:
        connection.sendall(sent)
        begin = time.monotonic()

        assert connection.recv(1000) == b""
        assert 5 < time.monotonic() - begin < 15


def test_tracing_is_refused(ask):
    answer = ask(f"TRACE {PATH} HTTP/1.1\r\nHost: x\r\nCookie: secret\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 405") and b"secret" not in answer


def test_noise_instead_of_http_is_refused(ask):
    assert ask(bytes(range(256)) * 40)[:12] in (b"HTTP/1.1 400", b"")


def test_clients_that_vanish_leave_nothing_behind(service, ask, people_jpeg):
    whole = head(f"Content-Length: {len(people_jpeg)}") + people_jpeg
    for end in (20, len(whole) // 2, len(whole)):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", service.port), ANSWER_S) as connection:
                connection.sendall(whole[:end])
    until = time.monotonic() + ANSWER_S
    while b"\ndepthhmr_images_in_work 0.0" not in ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
        assert time.monotonic() < until, "work goes on for clients that have gone"


def test_a_form_within_a_form_is_no_picture(ask):
    inner = b"--y\r\nContent-Disposition: form-data; name=image; filename=a\r\n\r\nx\r\n--y--\r\n"
    part = b'Content-Disposition: form-data; name="image"; filename="a"\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n'
    body = b"--x\r\n" + part + inner + b"\r\n--x--\r\n"
    request = head(f"Content-Length: {len(body)}").replace(b"image/jpeg", b"multipart/form-data; boundary=x")

    assert ask(request, body).startswith(b"HTTP/1.1 415")


GET = b"GET /v1/version HTTP/1.1\r\n"


def problem_of(answer: bytes) -> tuple[int, dict, dict[str, str]]:
    """Status, problem document and headers of the only response."""
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert headers["content-type"] == "application/problem+json", answer[:500]
    return int(status.split()[1]), json.loads(body), headers


@pytest.mark.parametrize("hosts", [b"", b"Host: x\r\nHost: y\r\n", b"Host: x y\r\n", b"Host: x/../y\r\n"])
def test_no_host_two_hosts_and_what_is_no_host_are_refused(ask, hosts):
    status, problem, headers = problem_of(ask(GET + hosts + b"\r\n"))

    assert status == 400 and "Host header" in problem["detail"] and headers["connection"] == "close"


def test_the_old_protocol_needs_no_host(ask):
    assert ask(b"GET /v1/version HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("count", [65_600, 70_000, 79_000, 100_000])
def test_a_head_over_64_kib_is_refused_with_431(ask, count):
    status, problem, _ = problem_of(ask(GET + b"Host: x\r\nX-Big: " + b"a" * count + b"\r\n\r\n"))

    assert status == 431 and "65536 bytes" in problem["detail"]


def test_a_head_of_64_kib_is_served_also_behind_another_request(ask):
    big = GET + b"Host: x\r\nConnection: close\r\nX-Big: " + b"a" * 65_000 + b"\r\n\r\n"

    answer = ask(GET + b"Host: x\r\n\r\n" + big)

    assert answer.count(b"HTTP/1.1 200") == 2


SMUGGLED = {
    "two lengths": head("Content-Length: 5", "Content-Length: 6") + b"hello",
    "length and chunks": head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "a blank before the colon": head("Content-Length : 5") + b"hello",
    "a bare line feed": b"POST /v1/reconstruct HTTP/1.1\nHost: x\n\n",
    "a bad chunk": head("Transfer-Encoding: chunked") + b"zz\r\nab\r\n",
    "no HTTP": bytes(range(256)),
}


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_what_the_parser_refuses_is_a_problem_with_a_request_id_and_counted(ask, sent):
    counter = re.compile(rb'depthhmr_requests_total\{protocol="rest",route="[^"]*",status="400"\} (\S+)')

    def refused() -> float:
        return sum(map(float, counter.findall(ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))))

    before = refused()
    status, problem, headers = problem_of(ask(sent))

    assert status == 400 and problem["type"] == "urn:depthhmr:problem:malformed-request"
    assert problem["request_id"] == headers["x-request-id"] and headers["connection"] == "close"
    assert "not valid HTTP" in problem["detail"] and refused() == before + 1

"""HTTP as such: what a node does with requests that are odd, slow, too many or too large."""

import contextlib
import json
import socket
import time

import pytest
from harness import wait_until


def exchange(node, request, timeout=30):
    """Sends bytes and reads until the node closes, or nothing comes any more. A busy node (503) is asked again."""
    return node.patient(lambda: ask(node, request, timeout), status_of)


def ask(node, request, timeout=30):
    """Sends bytes and reads until the node closes, or nothing comes any more."""
    with node.raw(timeout) as connection:
        answer = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass
        return answer


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def alive(node):
    """The node answers; the number of its boots shows that it did not crash."""
    return wait_until(lambda: node.status()["boot"], 30, f"{node} answers")


def test_unknown_paths(nodes):
    for path in ("/nonesuch", "/api", "/api/node", "/api/node/status/", "/API/NODE/STATUS", "/%2e%2e/config", "/config.json"):
        answer = nodes[0].patient(lambda p=path: nodes[0].request("GET", p))
        assert answer.status == 404 and answer.error, (path, answer)


def test_wrong_methods_name_the_right_ones(nodes):
    node = nodes[0]
    for method, path, allowed in (
        ("POST", "/api/node/status", {"GET"}),
        ("DELETE", "/api/node/config", {"GET", "POST"}),
        ("GET", "/api/node/restart", {"POST"}),
        ("PUT", "/api/node/update", {"GET", "POST"}),
        ("GET", "/api/cluster/event", {"POST"}),
        ("PATCH", "/", {"GET"}),
    ):
        answer = node.patient(lambda m=method, p=path: node.request(m, p))
        assert answer.status == 405 and answer.error, (method, path, answer)
        assert {each.strip() for each in answer.headers["allow"].split(",")} - {"HEAD", "OPTIONS"} == allowed


def test_large_bodies_are_refused(nodes):
    node = nodes[0]
    for path in ("/api/node/event", "/api/node/config", "/api/tasks/control", "/api/network/wifi/config"):
        answer = node.patient(
            lambda p=path: node.request(
                "POST", p, "event=" + "x" * 1100, {"Content-Type": "application/x-www-form-urlencoded"}
            )
        )
        assert answer.status == 413 and answer.error, (path, answer)


def test_the_page_is_compressed(nodes):
    answer = nodes[0].patient(lambda: nodes[0].request("GET", "/"))
    assert answer.status == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.body[:2] == b"\x1f\x8b"


def test_connections_are_kept(nodes):
    """Several requests over one connection, one after the other and sent at once."""
    node = nodes[0]
    request = b"GET /api/network/status HTTP/1.1\r\nHost: x\r\n\r\n"
    with node.raw() as connection:
        stream = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(request)
            length = 0
            assert stream.readline().startswith(b"HTTP/1.1 200")
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert json.loads(stream.read(length))["hostname"] == node.hostname


def test_requests_in_pieces(nodes):
    node = nodes[0]
    with node.raw() as connection:
        for piece in (b"GE", b"T /api/no", b"de/status HT", b"TP/1.1\r\nHo", b"st: x\r\nConnection: close\r\n\r", b"\n"):
            connection.sendall(piece)
            time.sleep(0.1)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "length", ["18446744073709551615", "4294967295", "99999999999999999999999", "-1", "1e3", "0x10", "", "5, 5", "+5"]
)
@pytest.mark.parametrize("path", ["/api/node/event", "/api/node/update", "/api/node/status"])
def test_lengths_that_make_no_sense_are_harmless(nodes, path, length):
    """One header crashed the HTTP library this node uses (overflow of Content-Length)."""
    node = nodes[1]
    boots = alive(node)
    method = "GET" if path.endswith("status") else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    answer = exchange(node, head.encode() + b"event=x")
    assert answer == b"" or 400 <= status_of(answer) < 500 or (method == "GET" and length == ""), answer
    assert alive(node) == boots


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET " + b"/x" * 3000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
        b"GET / HTTP/1.1\r\nNoColon\r\n\r\n",
        b"POST /api/node/event HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n0\r\n\r\n",
        b"POST /api/node/event HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 7\r\n\r\nevent=x",
        b"GET /%zz%00%ff HTTP/1.1\r\n\r\n",
    ],
    ids=range(10),
)
def test_requests_that_make_no_sense_are_harmless(nodes, request_bytes):
    node = nodes[1]
    boots = alive(node)
    answer = exchange(node, request_bytes)
    assert answer == b"" or 400 <= status_of(answer) < 500 or status_of(answer) in (501, 505), answer[:200]
    assert alive(node) == boots


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"event":', b'{"event":{}}', b"\xff\xfe", b"[1,2]", b"event", b"%", b"=x"]
)
def test_bodies_that_make_no_sense_are_refused(nodes, content_type, body):
    node = nodes[2]
    answer = node.patient(lambda: node.request("POST", "/api/node/event", body, {"Content-Type": content_type}))
    assert answer.status in (400, 422) and answer.error, answer


def test_a_body_that_never_comes_is_cut_off(nodes):
    """A client that promises a body and sends none loses its connection; others are served meanwhile."""
    node = nodes[2]
    with node.raw(40) as slow:
        slow.sendall(b"POST /api/node/event HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nev")
        assert node.status()["hostname"] == node.hostname
        answer = b""
        try:
            while part := slow.recv(4096):
                answer += part
        except ConnectionError:
            pass
        assert answer == b"" or 400 <= status_of(answer) < 500, answer


def test_a_client_that_says_nothing_is_cut_off(nodes):
    node = nodes[2]
    with node.raw(40) as silent:
        assert node.status()["hostname"] == node.hostname
        try:
            end = silent.recv(4096)
        except ConnectionError:
            return  # a reset is as good as an end; a time-out is not
        assert end == b"" or 400 <= status_of(end) < 500


def test_a_client_that_drips_is_cut_off(nodes):
    """One byte of a header every half second does not hold a connection for ever."""
    node = nodes[2]
    with node.raw(5) as slow:
        slow.sendall(b"GET /api/node/status HTTP/1.1\r\nX: ")
        with pytest.raises(OSError):
            for _ in range(120):
                slow.sendall(b"x")
                time.sleep(0.5)


def test_when_all_connections_are_busy_the_next_is_told_so(nodes):
    """A node has four connections; requests that are not complete hold them for three seconds."""
    node = nodes[3]
    refusal = None
    for _ in range(10):
        with contextlib.ExitStack() as held:
            for _ in range(4):
                connection = held.enter_context(node.raw())
                connection.sendall(b"GET /api/node/status HTTP/1.1\r\nHost: x\r\n")
            time.sleep(0.2)
            answer = ask(node, b"GET /api/network/status HTTP/1.1\r\nHost: x\r\n\r\n", 5)
        if status_of(answer) == 503:
            refusal = answer
            break
    assert refusal is not None, answer
    head, body = refusal.split(b"\r\n\r\n", 1)
    assert b"retry-after" in head.lower()
    assert json.loads(body)["error"]
    assert alive(node)


def test_a_hundred_connections_leave_the_node_well(nodes):
    """Opened and dropped at once, half of them in the middle of a request."""
    node = nodes[3]
    boots = alive(node)
    for number in range(100):
        try:
            with node.raw(5) as connection:
                if number % 2:
                    connection.sendall(b"GET /api/cluster/members HTTP/1.1\r\nHost: x\r\n\r\n")
        except OSError:
            pass
    assert alive(node) == boots

"""A large cluster: sixty nodes, everybody knows everybody, and the list of them is streamed."""

import json
import random
import socket
import time

import pytest
from harness import Lab, wait_until

SIZE = 60


@pytest.fixture(scope="module")
def large():
    with Lab(SIZE) as lab:
        lab.settle(180)
        yield lab


def test_every_node_lists_all(large):
    names = {node.hostname for node in large.nodes}
    assert len(names) == SIZE
    # Any of them; the seed is fixed so that a failure can be had again.
    for node in random.Random(4210).sample(large.nodes, 5):
        members = node.members()
        assert set(members) == names
        assert {member["status"] for member in members.values()} == {"ACTIVE"}
        wait_until(lambda n=node: all(m["api"] for m in n.members().values()), 60, "all endpoints are known")


def test_the_list_streams_to_a_slow_reader(large):
    """The answer is many times larger than any buffer of the node; a slow reader gets all of it, others are served."""
    node = large.nodes[0]
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(node.address)
        connection.sendall(b"GET /api/cluster/members HTTP/1.0\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := connection.recv(1024):
            answer += part
            time.sleep(0.005)
            if len(answer) < 4096:
                assert node.status()["hostname"] == node.hostname
    head, body = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    if b"transfer-encoding: chunked" in head.lower():
        whole = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            count = int(size, 16)
            whole, body = whole + body[:count], body[count + 2 :]
            if count == 0:
                break
        body = whole
    assert len(body) > 16384
    assert len(json.loads(body)["members"]) == SIZE


def test_readers_who_leave_halfway_do_no_harm(large):
    node = large.nodes[1]
    boots = node.status()["boot"]
    for _ in range(10):
        with node.raw() as connection:
            connection.sendall(b"GET /api/cluster/members HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(512)
    assert len(node.members()) == SIZE
    assert node.status()["boot"] == boots

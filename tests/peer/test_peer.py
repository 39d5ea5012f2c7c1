"""Our nodes and nodes of every generation of C++ SPORE (imitated by text_peer.py) in one network."""

import json
import subprocess
import time

import pytest
from harness import wait_until
from text_peer import GENERATIONS

# An address of its own for each peer of each test: a node remembers who was at an address.
ADDRESS = {generation: 201 + index for index, generation in enumerate(GENERATIONS)}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_they_see_each_other(lab, peers, generation):
    """Every node of ours lists the peer as ACTIVE with its details, and the peer lists every node of ours."""
    peer = peers(generation, ADDRESS[generation])
    nodes = lab.nodes
    for node in nodes:
        wait_until(lambda n=node: n.members()[peer.hostname]["status"] == "ACTIVE", 30, f"{node} sees {peer.hostname}")
        # Resources and endpoints of a text member come from its GET /api/node/status, whatever its generation.
        member = wait_until(
            lambda n=node: (m := n.members()[peer.hostname])["resources"]["freeHeap"] and m, 40, "the peer's resources"
        )
        assert member["ip"] == peer.ip
        assert member["kind"] == "text"
        assert member["self"] is False
        assert member["resources"] == peer.resources
        if generation == "discovery":
            member = wait_until(lambda n=node: (m := n.members()[peer.hostname])["api"] and m, 40, "the peer's endpoints")
            assert {(e["uri"], e["method"]) for e in member["api"]} == {(e["uri"], e["method"]) for e in peer.endpoints}
    for node in nodes:
        wait_until(lambda n=node: peer.state_of(n.hostname) == "ACTIVE", 30, f"{peer.hostname} sees {node}")
        assert peer.table[node.hostname]["ip"] == node.ip
    # And for longer than the ten seconds that make a member INACTIVE.
    end = time.monotonic() + 12
    while time.monotonic() < end:
        assert {peer.state_of(node.hostname) for node in nodes} == {"ACTIVE"}
        assert {node.sees(peer) for node in nodes} == {"ACTIVE"}
        time.sleep(0.5)


def test_a_polling_peer_reads_our_status(lab, peers):
    """The first generation asks us over HTTP and finds every key it looks for."""
    peer = peers("discovery", 206)
    for node in lab.nodes:
        member = wait_until(
            lambda n=node: (m := peer.table.get(n.hostname)) and m["resources"] and m, 40, f"the peer asked {node}"
        )
        status = node.status()
        assert member["resources"]["chipId"] == status["chipId"]
        assert {"uri": "/api/node/status", "method": "GET"} in member["api"]


@pytest.mark.parametrize("generation", ["events", "heartbeat"])
def test_an_event_of_theirs_reaches_each_of_ours_once(lab, peers, generation):
    peer = peers(generation, ADDRESS[generation])
    nodes = lab.nodes
    wait_until(lambda: all(node.sees(peer) == "ACTIVE" for node in nodes), 30, "all see the peer")
    for name, data, expected in (
        (f"text_{generation}", "hello", "hello"),
        (f"object_{generation}", {"color": "#FF0000", "brightness": 128}, {"color": "#FF0000", "brightness": 128}),
    ):
        subscribers = [node.events() for node in nodes]
        try:
            peer.fire_cluster(name, data)
            for subscriber in subscribers:
                payload = subscriber.wait_for(name)
                assert (payload if isinstance(expected, str) else json.loads(payload)) == expected
                subscriber.collect(2)
                assert len(subscriber.named(name)) == 1
        finally:
            for subscriber in subscribers:
                subscriber.socket.close()


@pytest.mark.parametrize("generation", ["events", "heartbeat"])
def test_an_event_of_ours_reaches_each_of_theirs_once(lab, peers, generation):
    peer = peers(generation, ADDRESS[generation])
    other = peers(generation, 207)
    nodes = lab.nodes
    wait_until(lambda: all(node.sees(peer) == "ACTIVE" for node in nodes), 30, "all see the peer")
    name = f"ours_{generation}"
    answer = nodes[0].post("/api/cluster/event", _json=True, event=name, data={"n": 1})
    assert answer.status == 200, answer
    for each in (peer, other):
        wait_until(lambda e=each: name in [event for event, _ in e.events], 10, f"{each.hostname} hears the event")
    # What repeats the event for nodes that lost it must not reach those that cannot tell a repetition.
    time.sleep(4)
    for each in (peer, other):
        data = [data for event, data in each.events if event == name]
        assert len(data) == 1, data
        assert (json.loads(data[0]) if isinstance(data[0], str) else data[0]) == {"n": 1}


def test_raw_datagrams_become_events(lab, peers):
    """What LEDLab streams arrives as `udp/raw`, sent to one node or to all."""
    peer = peers("events", 208)
    nodes = lab.nodes
    with nodes[0].events() as first, nodes[1].events() as second:
        peer.stream(nodes[0].ip, "FF0000" * 16)
        assert first.wait_for("udp/raw") == "FF0000" * 16
        peer.stream(peer.broadcast, "00FF00" * 16)
        assert second.wait_for("udp/raw") == "00FF00" * 16
        first.collect(1)
        assert first.named("udp/raw") == ["FF0000" * 16, "00FF00" * 16]


def test_a_silent_peer_becomes_inactive_then_dead(lab, peers):
    """With the thresholds as they are: 10 s and 60 s."""
    peer = peers("heartbeat", 209)
    node = lab.nodes[0]
    config = node.get("/api/node/config")
    assert (config["inactiveAfterMs"], config["deadAfterMs"]) == (10000, 60000)
    wait_until(lambda: node.sees(peer) == "ACTIVE", 30, "the node sees the peer")
    peer.silent = True
    ages = {}
    wait_until(
        lambda: ages.setdefault((member := node.members()[peer.hostname])["status"], member["age"]) and "DEAD" in ages,
        90,
        "the peer is DEAD",
    )
    assert list(ages) == ["ACTIVE", "INACTIVE", "DEAD"]
    # By the node's own account of time: the state changes at the threshold, give or take a sweep.
    assert 10000 <= ages["INACTIVE"] < 60000
    assert 60000 <= ages["DEAD"]
    peer.silent = False
    wait_until(lambda: node.sees(peer) == "ACTIVE", 30, "the peer is back")


def test_thresholds_follow_the_settings(lab, peers):
    """Shorter thresholds count at once."""
    peer = peers("sync", 205)
    node = lab.nodes[1]
    wait_until(lambda: node.sees(peer) == "ACTIVE", 30, "the node sees the peer")
    node.config(inactiveAfterMs=7000, deadAfterMs=9000)
    try:
        peer.silent = True
        wait_until(lambda: node.sees(peer) == "DEAD", 30, "the peer is DEAD")
        assert node.members()[peer.hostname]["age"] < 60000
    finally:
        node.config(inactiveAfterMs=10000, deadAfterMs=60000)


def test_curl_reaches_every_node_at_its_own_address(lab):
    for node in lab.nodes:
        done = subprocess.run(
            ["curl", "-sS", "--fail", "--max-time", "20", f"http://{node.ip}/api/node/status"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["hostname"] == node.hostname


def test_only_rust_nodes_are_called_rust(lab, peers):
    peer = peers("heartbeat", 204)
    node = lab.nodes[2]
    wait_until(lambda: node.sees(peer) == "ACTIVE", 30, "the node sees the peer")
    kinds = {hostname: member["kind"] for hostname, member in node.members().items()}
    assert {kinds[each.hostname] for each in lab.nodes} == {"rust"}
    assert kinds[peer.hostname] == "text"

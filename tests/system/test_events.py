"""Events over WebSockets: once per subscriber, on every node."""

import json

import pytest


def test_a_cluster_event_reaches_every_subscriber_once(nodes):
    subscribers = [node.events() for node in nodes] + [nodes[2].events()]
    try:
        answer = nodes[0].post("/api/cluster/event", _json=True, event="lights", data={"on": True, "level": 3})
        assert answer.status == 200, answer
        body = answer.json
        assert body["success"] is True and body["event"] == "lights"
        assert body["id"].startswith(nodes[0].ip + "/")
        for subscriber in subscribers:
            assert json.loads(subscriber.wait_for("lights")) == {"on": True, "level": 3}
        for subscriber in subscribers:
            subscriber.collect(2)
            assert len(subscriber.named("lights")) == 1
    finally:
        for subscriber in subscribers:
            subscriber.socket.close()


def test_a_local_event_stays_where_it_is(nodes):
    with nodes[0].events() as here, nodes[1].events() as there:
        answer = nodes[0].post("/api/node/event", event="mine", data="plain text")
        assert answer.status == 200 and answer.json == {"success": True, "event": "mine"}
        assert here.wait_for("mine") == "plain text"
        there.collect(3)
        assert there.named("mine") == []


def test_a_client_fires_and_does_not_hear_itself(nodes):
    with nodes[0].events() as sender, nodes[0].events() as other, nodes[1].events() as far:
        assert sender.send("shout", {"n": 1}) == {"ok": True}
        assert json.loads(other.wait_for("shout")) == {"n": 1}
        sender.collect(1)
        assert sender.named("shout") == []
        assert sender.send("cluster/broadcast", {"event": "shout_all", "data": "x"}) == {"ok": True}
        assert far.wait_for("shout_all") == "x"
        assert other.wait_for("shout_all") == "x"
        sender.collect(2)
        far.collect(1)
        assert far.named("shout_all") == ["x"]
        assert sender.named("shout_all") == []


def test_every_one_of_many_events_arrives_once(nodes):
    """Spaced as upstream asks (50 ms and more), twenty events from two nodes reach a third, each once."""
    with nodes[2].events() as subscriber:
        for number in range(10):
            for node in nodes[:2]:
                answer = node.post("/api/cluster/event", event="many", data=f"{node.hostname}/{number}")
                assert answer.status == 200, answer
            subscriber.collect(0.1)
        subscriber.collect(4)
        expected = sorted(f"{node.hostname}/{number}" for number in range(10) for node in nodes[:2])
        assert sorted(subscriber.named("many")) == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"payload":1}', '{"event":5}', '{"event":"' + "x" * 40 + '"}'])
def test_nonsense_is_answered_with_an_error(nodes, text):
    with nodes[3].events() as client:
        answer = client.raw(text)
        assert set(answer) == {"error"} and answer["error"]
        # The connection is still good.
        assert client.send("after_nonsense", "x") == {"ok": True}


def test_a_plain_request_to_the_websocket_is_refused(nodes):
    answer = nodes[0].request("GET", "/ws")
    assert 400 <= answer.status < 500 and answer.error


def test_limits_of_an_event(nodes):
    node = nodes[0]
    path = "/api/node/event"
    assert node.post(path, event="x" * 32, data="").status == 200
    assert node.post(path, event="x" * 33, data="").status == 422
    assert node.post(path, event="", data="").status in (400, 422)
    assert node.post(path, data="no name").status in (400, 422)
    assert node.post(path, event="e", data="d" * 511).status == 200
    assert node.post(path, event="e", data="d" * 512).status in (413, 422)


def test_a_new_member_is_an_event(lab, nodes):
    """The status changes and comes back: `node_status_changed` is fired for both."""
    observer, victim = nodes[0], nodes[1]
    with observer.events() as subscriber:
        lab.spore("lab", "kill", victim.hostname)
        payload = json.loads(subscriber.wait_for("node_status_changed", 40))
        assert payload == {"hostname": victim.hostname, "ip": victim.ip, "status": "INACTIVE"}
        lab.spore("lab", "restart", victim.hostname)
        subscriber.heard.clear()
        payload = json.loads(subscriber.wait_for("node_status_changed", 40))
        assert payload == {"hostname": victim.hostname, "ip": victim.ip, "status": "ACTIVE"}

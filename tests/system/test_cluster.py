"""Membership, services and faults: what every node knows of the others."""

import time

from harness import wait_until


def states(observers, subject):
    """The status each observer gives the subject."""
    return [observer.sees(subject) for observer in observers]


def test_everybody_lists_everybody(nodes):
    names = {node.hostname for node in nodes}
    for node in nodes:
        members = node.get("/api/cluster/members")["members"]
        assert members[0]["hostname"] == node.hostname and members[0]["self"], "itself first"
        assert {member["hostname"] for member in members} == names
        assert len(members) == len(names), "nobody twice"
        assert {member["status"] for member in members} == {"ACTIVE"}
        assert [member["self"] for member in members].count(True) == 1


def test_members_carry_what_they_say_of_themselves(nodes):
    observer, *others = nodes
    for other in others:
        status = other.status()
        # Endpoints are fetched once per catalogue, resources come with the next broadcast.
        member = wait_until(lambda o=other: (m := observer.members()[o.hostname])["api"] and m, 30, "the endpoints")
        assert member["ip"] == other.ip == status["ip"]
        assert member["kind"] == "rust"
        for key in ("version", "board", "labels", "catalogue"):
            assert member[key] == status[key], key
        for key in ("chipId", "sdkVersion", "cpuFreqMHz", "flashChipSize"):
            assert member["resources"][key] == status[key], key
        assert sorted((e["uri"], e["method"]) for e in member["api"]) == sorted(
            (e["uri"], e["method"]) for e in status["api"]
        )
        assert member["age"] < 10000


def test_a_dead_node_is_inactive_then_dead_then_back(lab, nodes):
    """Pulled plug, default thresholds, as seen by every other node; then restarted."""
    victim, *others = nodes
    boots = victim.status()["boot"]
    lab.spore("lab", "kill", victim.hostname)
    assert victim.facts["state"] == "off"
    seen = {other.hostname: [] for other in others}

    def all_dead():
        for other in others:
            status = other.sees(victim)
            if not seen[other.hostname] or seen[other.hostname][-1] != status:
                seen[other.hostname].append(status)
        return all(history[-1] == "DEAD" for history in seen.values())

    wait_until(all_dead, 90, "everybody calls it DEAD")
    assert list(seen.values()) == [["ACTIVE", "INACTIVE", "DEAD"]] * len(others)
    lab.spore("lab", "restart", victim.hostname)
    wait_until(lambda: set(states(others, victim)) == {"ACTIVE"}, 30, "everybody calls it ACTIVE again")
    status = wait_until(victim.status, 30, "it answers")
    assert status["boot"] == boots + 1
    assert status["resetReason"] == "power on"


def test_a_restarted_node_is_hardly_missed(lab, nodes):
    observer, victim, *_ = nodes
    boots = victim.status()["boot"]
    answer = victim.post("/api/node/restart")
    assert answer.status == 200 and answer.json == {"success": True, "message": "restarting"}
    wait_until(lambda: victim.status()["boot"] == boots + 1, 30, "it has restarted")
    assert victim.status()["resetReason"] == "restart"
    wait_until(lambda: observer.sees(victim) == "ACTIVE" and victim.sees(observer) == "ACTIVE", 30, "they see each other")


def test_an_island_is_lost_and_found(lab, nodes):
    island, mainland = nodes[:2], nodes[2:]
    lab.spore("lab", "cut", *[node.hostname for node in island])
    assert lab.status()["faults"]

    def parted():
        across = [a.sees(b) for a in mainland for b in island] + [a.sees(b) for a in island for b in mainland]
        return set(across) == {"INACTIVE"}

    wait_until(parted, 40, "both sides miss each other")
    assert island[0].sees(island[1]) == "ACTIVE"
    assert mainland[0].sees(mainland[1]) == "ACTIVE"
    lab.spore("lab", "heal")
    assert lab.status()["faults"] == []
    wait_until(lambda: lab.status()["converged"], 40, "one cluster again")


def test_heavy_loss_kills_nobody(lab, nodes):
    """A third of all frames lost for half a minute: nobody is called DEAD, and all is well afterwards."""
    lab.spore("lab", "loss", "30")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            seen = {status["status"] for node in nodes[:2] for status in node.members().values()}
        except OSError:
            continue
        assert "DEAD" not in seen
        time.sleep(1)
    lab.spore("lab", "heal")
    wait_until(lambda: lab.status()["converged"], 30, "everybody sees everybody")


def test_delay_and_duplicates_change_nothing(lab, nodes):
    lab.spore("lab", "delay", "40", "--jitter", "80")
    lab.spore("lab", "duplicate", "30")
    assert len(lab.status()["faults"]) == 2
    with nodes[1].events() as subscriber:
        answer = nodes[0].post("/api/cluster/event", event="twice", data="x")
        assert answer.status == 200, answer
        subscriber.wait_for("twice")
        subscriber.collect(3)
        assert subscriber.named("twice") == ["x"]
    assert {node.sees(nodes[0]) for node in nodes} == {"ACTIVE"}


def test_nodes_can_be_added(lab, nodes):
    """A newcomer is found by all and finds all; the lab keeps it, so it is switched off at the end."""
    lab.spore("lab", "add", "1")
    newcomer = lab.nodes[-1]
    assert newcomer.hostname not in {node.hostname for node in nodes}
    wait_until(lambda: lab.status()["converged"], 40, "the newcomer belongs")
    newcomer = lab.nodes[-1]
    assert set(newcomer.members()) == {node.hostname for node in lab.nodes}


def test_services_are_found_by_path_and_by_label(nodes):
    observer = nodes[-1]

    def offers(query):
        return observer.get(f"/api/cluster/services{query}")["services"]

    def holders(query):
        return {node["hostname"] for service in offers(query) for node in service["nodes"]}

    relays = {node.hostname for node in nodes if "/api/relay" in {e["uri"] for e in node.status()["api"]}}
    assert relays, "the lab has nodes with a relay"
    wait_until(lambda: holders("?uri=/api/relay") == relays, 30, "all relays are known")
    assert {service["uri"] for service in offers("?uri=/api/relay")} == {"/api/relay"}
    assert holders("?uri=/api/node/status") == {member for member in observer.members()}
    with_label = {name for name, member in observer.members().items() if member["labels"].get("role") == "relay"}
    assert with_label, "relays say role=relay"
    assert holders("?label=role%3Drelay") == with_label
    assert offers("?uri=/api/nonesuch") == []
    assert offers("?label=role%3Dnonesuch") == []


def test_the_relay_switches(nodes):
    relay = next(node for node in nodes if "/api/relay" in {e["uri"] for e in node.status()["api"]})

    def state():
        return relay.get("/api/relay/status")["state"]

    for order, expected in (("on", "on"), ("off", "off"), ("toggle", "on"), ("toggle", "off")):
        answer = relay.post("/api/relay", state=order)
        assert answer.status == 200, answer
        assert state() == expected
    answer = relay.post("/api/relay", state="sideways")
    assert answer.status == 422 and answer.error
    assert state() == "off"


def test_tasks_can_be_changed_until_restart(nodes):
    node = nodes[0]

    def task(name):
        return next(task for task in node.get("/api/tasks/status")["tasks"] if task["name"] == name)

    assert {
        "discovery_send",
        "discovery_listen",
        "heartbeat",
        "status_update",
        "member_info",
        "debug_output",
    } <= {task["name"] for task in node.get("/api/tasks/status")["tasks"]}
    runs = task("discovery_send")["runs"]
    wait_until(lambda: task("discovery_send")["runs"] > runs, 20, "the task runs")
    assert node.post("/api/tasks/control", task="debug_output", action="disable").json["task"]["enabled"] is False
    assert task("debug_output")["enabled"] is False
    answer = node.post("/api/tasks/control", task="debug_output", action="set", interval="2500")
    assert answer.json["task"]["interval"] == 2500
    assert node.post("/api/tasks/control", task="debug_output", action="enable").json["task"]["enabled"] is True
    for status, params in (
        (404, {"task": "nonesuch", "action": "enable"}),
        (422, {"task": "debug_output", "action": "explode"}),
        (422, {"task": "debug_output", "action": "set", "interval": "9"}),
        (422, {"task": "debug_output", "action": "set", "interval": "3600001"}),
    ):
        answer = node.post("/api/tasks/control", **params)
        assert (answer.status, bool(answer.error)) == (status, True), params
    assert task("debug_output")["interval"] == 2500

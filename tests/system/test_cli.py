"""The command line as a user types it: the lab, the cluster, updates over the air."""

import json
import os
import subprocess

from harness import ROOT, Lab, wait_until
from image import flipped, image


def test_members_as_a_table_and_as_json(lab, nodes):
    table = lab.spore("cluster", "members").stdout
    for node in nodes:
        assert node.hostname in table and node.ip in table
    assert table.count("ACTIVE") >= len(nodes)
    members = json.loads(lab.spore("cluster", "members", "--json").stdout)["members"]
    assert {member["hostname"] for member in members} == {node.hostname for node in nodes}


def test_any_node_can_be_asked(lab, nodes):
    for node in nodes:
        for name in (node.ip, node.hostname, ":".join(map(str, node.address))):
            members = json.loads(lab.spore("cluster", "members", "--json", "--node", name).stdout)["members"]
            assert members[0]["hostname"] == node.hostname, name


def test_services_and_events(lab, nodes):
    assert "/api/relay" in lab.spore("cluster", "services").stdout
    only = lab.spore("cluster", "services", "/api/relay").stdout
    assert "/api/relay" in only and "/api/node/status" not in only
    with nodes[1].events() as subscriber:
        lab.spore("cluster", "event", "from_the_shell", '{"n":1}')
        assert json.loads(subscriber.wait_for("from_the_shell")) == {"n": 1}


def test_one_node(lab, nodes):
    node = nodes[0]
    text = lab.spore("node", "status", node.ip).stdout
    assert node.hostname in text and "confirmed" in text
    assert json.loads(lab.spore("node", "status", node.hostname, "--json").stdout)["hostname"] == node.hostname
    assert "heartbeat" in lab.spore("node", "tasks", node.ip).stdout
    assert "inactiveAfterMs" in lab.spore("node", "config", node.ip).stdout
    lab.spore("node", "config", node.ip, "label.shelf=3")
    assert node.get("/api/node/config")["labels"]["shelf"] == "3"
    lab.spore("node", "config", node.ip, "label.shelf=")
    assert "shelf" not in node.get("/api/node/config")["labels"]
    boots = node.status()["boot"]
    lab.spore("node", "restart", node.ip)
    wait_until(lambda: node.status()["boot"] == boots + 1, 30, "it restarts")


def test_update_one(lab, nodes):
    """Build, update, and what is said when it is good, crashes, or is no image."""
    node = nodes[2]
    path = lab.spore("build", "--board", "virtual", "--version", "8.0.0").stdout.strip().splitlines()[-1]
    lab.spore("ota", "update", node.ip, path, timeout=180)
    # The command ends when the node has confirmed, not when the bytes are sent.
    assert node.status()["image"]["version"] == "8.0.0"
    assert node.status()["image"]["state"] == "confirmed"

    bad = lab.spore("build", "--board", "virtual", "--version", "8.1.0", "--behaviour", "crash").stdout.strip().splitlines()[-1]
    done = lab.spore("ota", "update", node.hostname, bad, check=False, timeout=240)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "8.1.0" in done.stderr + done.stdout
    assert node.status()["image"]["version"] == "8.0.0"
    assert node.status()["lastUpdate"]["outcome"] == "reverted"

    broken = lab.folder / "broken.img"
    broken.write_bytes(flipped(image("8.2.0"), 5000))
    done = lab.spore("ota", "update", node.ip, str(broken), check=False)
    assert done.returncode not in (0, 2) and "broken.img" in done.stderr
    foreign = lab.folder / "foreign.img"
    foreign.write_bytes(image("8.2.0", board="esp8266"))
    assert lab.spore("ota", "update", node.ip, str(foreign), check=False).returncode not in (0, 2)
    assert node.status()["image"]["version"] == "8.0.0"


def test_update_all(lab, nodes):
    path = lab.spore("build", "--board", "virtual", "--version", "9.0.0").stdout.strip().splitlines()[-1]
    lab.spore("ota", "all", path, timeout=400)
    for node in nodes:
        status = node.status()["image"]
        assert (status["version"], status["state"]) == ("9.0.0", "confirmed"), node
    # Everybody knows everybody's new version.
    wait_until(
        lambda: {m["version"] for node in nodes for m in node.members().values()} == {"9.0.0"}, 30, "versions are seen"
    )
    # Again: nothing to do, and no node restarts.
    boots = [node.status()["boot"] for node in nodes]
    lab.spore("ota", "all", path, timeout=400)
    assert [node.status()["boot"] for node in nodes] == boots


def test_update_all_stops_at_the_first_failure(lab, nodes):
    before = {node.hostname: node.status()["image"]["version"] for node in nodes}
    path = lab.spore("build", "--board", "virtual", "--version", "9.9.0", "--behaviour", "crash").stdout.strip().splitlines()[-1]
    done = lab.spore("ota", "all", path, check=False, timeout=400)
    assert done.returncode == 2, (done.stdout, done.stderr)
    tried = [node for node in nodes if (node.status()["lastUpdate"] or {}).get("version") == "9.9.0"]
    assert len(tried) == 1
    assert {node.hostname: node.status()["image"]["version"] for node in nodes} == before


def test_lab_status_and_log(lab, nodes):
    text = lab.spore("lab", "status").stdout
    for node in nodes:
        assert node.hostname in text
    status = lab.status()
    assert status["converged"] is True and status["frames"] > 0 and status["faults"] == []
    assert [node["state"] for node in status["nodes"]] == ["running"] * len(nodes)
    assert nodes[0].log().strip()


def test_nodes_go_by_name_address_and_number(lab, nodes):
    for name, node in ((nodes[0].hostname, nodes[0]), (nodes[1].ip, nodes[1]), ("3", nodes[2])):
        boots = node.status()["boot"]
        lab.spore("lab", "restart", name)
        wait_until(lambda n=node, b=boots: n.status()["boot"] == b + 1, 30, f"{name} restarts")


def test_what_does_not_exist_is_refused(lab):
    for line in (
        ["lab", "kill", "esp_000000"],
        ["lab", "kill", "99"],
        ["lab", "loss", "101"],
        ["node", "status", "esp_000000"],
        ["ota", "update", "10.4.0.250"],
        ["cluster", "members", "--node", "127.0.0.1:1"],
        ["nonesuch"],
    ):
        done = lab.spore(*line, check=False)
        assert done.returncode not in (0, 101), line
        assert done.stderr.strip() and "panicked" not in done.stderr, done.stderr
    assert lab.status()["faults"] == []


def test_a_lab_ends_and_starts_again_where_it_was():
    """`down` leaves the flash files: nodes keep their settings and their count of starts. A second `up` is refused."""
    with Lab(2) as lab:
        node = lab.settle()[0]
        node.config(debugIntervalMs=6000)
        boots = node.status()["boot"]
        second = lab.spore("up", "--detach", check=False)
        assert second.returncode != 0 and second.stderr.strip()
        lab.spore("down")
        assert lab.spore("lab", "status", check=False).returncode == 3
        assert lab.spore("down", check=False).returncode in (0, 3)
        lab.start()
        node = lab.settle()[0]
        assert node.get("/api/node/config")["debugIntervalMs"] == 6000
        assert node.status()["boot"] == boots + 1


def test_the_front_door():
    """ctl.sh hands arguments, exit codes and standard output through, wherever it is called from."""
    environment = {name: value for name, value in os.environ.items() if name != "SPORE"}
    command = [str(ROOT / "ctl.sh")]
    bare = subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment)
    assert bare.returncode == 0 and "Usage" in bare.stdout and "test" in bare.stdout
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd="/", env=environment)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("spore ")
    done = subprocess.run([*command, "no", "such thing"], capture_output=True, text=True, cwd="/", env=environment)
    assert done.returncode != 0 and done.stdout == ""

"""WiFi: what nodes do when the access point goes away, changes its pass phrase, or was never told."""

import pytest
from harness import PASSPHRASE, SSID, wait_until


def wifi(node):
    return node.get("/api/network/status")


def secrets(node, *others):
    """The answers of all GET endpoints, and the log, that hold a pass phrase."""
    gets = {each["uri"] for each in node.get("/api/node/endpoints")["endpoints"] if each["method"] == "GET"}
    texts = {uri: node.patient(lambda u=uri: node.request("GET", u)).body.decode() for uri in gets - {"/", "/wifi", "/ws"}}
    texts["log"] = node.log(1000)
    return {name for name, text in texts.items() if any(secret in text for secret in (PASSPHRASE, *others))}


@pytest.fixture
def node(lab):
    """A node whose credentials may be changed: it gets the right ones back, and the access point its pass phrase."""
    node = lab.nodes[0]
    yield node
    lab.spore("lab", "heal")
    # A healed access point sends its stations away first, so the node may be gone for a moment.
    wait_until(lambda: given(node, PASSPHRASE), 30, "the node takes the right credentials")
    wait_until(lambda: wifi(node)["wifi"]["connected"], 60, "the node is back")
    wait_until(lambda: lab.status()["converged"], 60, "one cluster again")


def given(node, passphrase):
    """Whether the node took these credentials."""
    try:
        return node.post("/api/network/wifi/config", ssid=SSID, password=passphrase).status == 200
    except OSError:
        return False


def test_connected_nodes_say_so(lab, nodes):
    assert lab.status()["ssid"] == SSID
    for node in nodes:
        network = wifi(node)
        assert network["wifi"]["connected"] is True
        assert network["wifi"]["state"] == "connected"
        assert network["wifi"]["mode"] == "STA"
        assert network["wifi"]["ssid"] == SSID
        assert network["ip"] == node.ip
        assert network["accessPoint"]["active"] is False
        assert network["hostname"] == node.hostname
        assert network["mac"].replace(":", "").endswith(node.hostname.removeprefix("esp_"))


def test_without_access_point_nodes_open_their_own_and_come_back(lab, nodes):
    """Seen in the nodes' logs, which name the address: a node on its own access point has 192.168.4.1."""
    lab.spore("lab", "access-point", "off")
    for node in nodes:
        wait_until(lambda n=node: " 192.168.4.1 sees " in n.log(2), 90, f"{node} opens its own access point")
    lab.spore("lab", "heal")
    for node in nodes:
        wait_until(lambda n=node: wifi(n)["wifi"]["connected"], 120, f"{node} is back")
        wait_until(lambda n=node: not wifi(n)["accessPoint"]["active"], 60, f"{node} closes its access point")
        assert wifi(node)["wifi"]["mode"] == "STA"
    wait_until(lambda: lab.status()["converged"], 60, "one cluster again")


def test_a_new_pass_phrase_shuts_out_who_does_not_know_it(lab, node):
    lab.spore("lab", "access-point", "on", "--passphrase", "something else")
    wait_until(lambda: wifi(node)["accessPoint"]["active"], 60, "the node opens its own access point")
    network = wifi(node)["wifi"]
    assert network["connected"] is False and network["lastError"], network
    answer = node.post("/api/network/wifi/config", ssid=SSID, password="something else")
    assert answer.status == 200 and answer.json["success"] is True
    wait_until(lambda: wifi(node)["wifi"]["connected"], 60, "the node joins with the new pass phrase")
    assert secrets(node, "something else") == set()


def test_a_wrong_pass_phrase_is_told_and_can_be_mended(node):
    answer = node.post("/api/network/wifi/config", ssid=SSID, password="wrong pass phrase")
    assert answer.status == 200 and answer.body, "an empty answer would count as a failure in C++ SPORE's ctl.sh"
    wait_until(lambda: not wifi(node)["wifi"]["connected"], 30, "it tries the new credentials")
    wait_until(lambda: wifi(node)["accessPoint"]["active"], 60, "it opens its own access point")
    assert wifi(node)["wifi"]["lastError"]
    assert node.get("/api/node/config")["wifiPassphraseSet"] is True
    assert secrets(node, "wrong pass phrase") == set()


def test_bad_credentials_are_refused(nodes):
    node = nodes[0]
    before = wifi(node)["wifi"]["ssid"]
    for params in (
        {"ssid": "", "password": "long enough"},
        {"ssid": "x" * 33, "password": "long enough"},
        {"ssid": "x", "password": "short"},
        {"ssid": "x", "password": "x" * 64},
        {"password": "long enough"},
    ):
        answer = node.post("/api/network/wifi/config", **params)
        assert answer.status in (400, 422) and answer.error, params
    assert wifi(node)["wifi"] | {"rssi": 0} == wifi(node)["wifi"] | {"rssi": 0, "ssid": before, "connected": True}


def test_a_scan_finds_the_lab(lab, nodes):
    node = nodes[2]
    assert node.post("/api/network/wifi/scan").json["success"] is True

    def found():
        scan = node.get("/api/network/wifi/scan")
        return not scan["scanning"] and scan["networks"]

    networks = wait_until(found, 30, "the scan is over")
    assert SSID in {network["ssid"] for network in networks}
    strengths = [network["rssi"] for network in networks]
    assert strengths == sorted(strengths, reverse=True) and len(networks) <= 16

"""Pins of virtual nodes through the command line, and the time of day."""

import json
import time

from harness import wait_until


def pins(lab, node):
    """Direction and level of each pin, and the analogue input."""
    shown = json.loads(lab.spore("lab", "pins", node.hostname, "--json").stdout)
    assert shown["hostname"] == node.hostname
    return {pin["name"]: (pin["direction"], pin["level"]) for pin in shown["pins"]}, shown["adc"]


def test_the_relay_drives_its_pin(lab, nodes):
    node = nodes[0]
    for state, level in [("on", "low"), ("off", "high"), ("toggle", "low"), ("toggle", "high")]:
        assert node.post("/api/relay", state=state).status == 200
        assert pins(lab, node)[0]["GPIO0"] == ("output", level)
    table = lab.spore("lab", "pins", node.hostname).stdout
    assert "GPIO0   output     high" in table and "analogue input: " in table


def test_an_event_of_the_cluster_switches_all_pins(lab, nodes):
    nodes[0].post("/api/cluster/event", event="relay/set", data="on")
    wait_until(lambda: all(pins(lab, node)[0]["GPIO0"] == ("output", "low") for node in nodes), 20, "all relays are on")
    nodes[0].post("/api/cluster/event", event="relay/set", data="off")
    wait_until(lambda: all(pins(lab, node)[0]["GPIO0"] == ("output", "high") for node in nodes), 20, "all relays are off")


def test_inputs_are_set_and_mistakes_refused(lab, nodes):
    node = nodes[1]
    lab.spore("lab", "pin", node.hostname, "GPIO4", "high")
    lab.spore("lab", "adc", node.hostname, "512")
    found, adc = pins(lab, node)
    assert (found["GPIO4"], adc) == (("unused", "high"), 512)
    for words, said in [
        (("pins", "nobody"), "no node called 'nobody'"),
        (("pin", node.hostname, "0", "high"), "driven by the node"),
        (("pin", node.hostname, "6", "high"), "no pin 6"),
    ]:
        done = lab.spore("lab", *words, check=False)
        assert done.returncode == 4 and said in done.stderr, done
    assert lab.spore("lab", "adc", node.hostname, "1024", check=False).returncode == 1


def test_nodes_know_the_time(nodes):
    for node in nodes:
        told = wait_until(lambda node=node: node.status().get("time"), 20, "the router has told the time")
        assert abs(told - time.time()) < 60

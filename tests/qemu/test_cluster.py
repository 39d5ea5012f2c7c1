"""The firmware itself: emulated ESP8266 beside a virtual node, through the command line as a user has it."""

import json
import os
import struct
import subprocess
import time
import urllib.request
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("SPORE") or str(ROOT / "ctl.sh")
IMAGE = ROOT / "build" / "esp8266-qemu" / "firmware.spore"


class Lab:
    """One virtual node and two emulated ones."""

    def __init__(self, state):
        self.state = state

    def run(self, *arguments, code=0):
        done = subprocess.run(
            [COMMAND, *arguments, "--state", str(self.state)], cwd=ROOT, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def nodes(self):
        return json.loads(self.run("lab", "status", "--json"))["nodes"]

    def all_see_all(self, seconds=40):
        deadline = time.monotonic() + seconds
        while any(node["sees"] != 2 or node["state"] != "running" for node in self.nodes()):
            assert time.monotonic() < deadline, json.dumps(self.nodes(), indent=1)
            time.sleep(0.3)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.run("up", "--nodes", "1", "--emulated", "2", "--detach")
    yield lab
    lab.run("down")


def emulated(lab):
    return [node for node in lab.nodes() if node["board"] == "esp8266-qemu"]


def test_all_see_all(lab):
    assert len(emulated(lab)) == 2
    lab.all_see_all()


def test_a_restart_and_a_power_cut_are_survived(lab):
    one, other = emulated(lab)
    lab.run("node", "restart", one["ip"])
    lab.run("lab", "power-cut", other["ip"])
    time.sleep(2)
    lab.all_see_all()
    assert [node["reset_reason"] for node in emulated(lab)] == ["restart", "power on"]


def test_an_update_is_moved_to_slot_b_and_confirmed(lab, tmp_path):
    image = bytearray(IMAGE.read_bytes())
    image[56:80] = b"0.9.0".ljust(24, b"\0")
    struct.pack_into("<I", image, 252, zlib.crc32(bytes(image[:252])))
    newer = tmp_path / "newer.spore"
    newer.write_bytes(image)
    one = emulated(lab)[0]
    lab.run("ota", "update", one["ip"], str(newer))
    status = json.loads(lab.run("node", "status", one["ip"], "--json"))
    assert (status["version"], status["image"]["slot"], status["image"]["state"]) == ("0.9.0", "b", "confirmed")
    lab.all_see_all()


def pins(lab, node):
    shown = json.loads(lab.run("lab", "pins", node["hostname"], "--json"))
    return {pin["name"]: (pin["direction"], pin["level"]) for pin in shown["pins"]}, shown["adc"]


def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_the_relay_is_a_pin_in_both_worlds(lab):
    for node in lab.nodes():
        relay = f"{node['url']}api/relay"
        until(lambda: pins(lab, node)[0]["GPIO0"] == ("output", "high"), "the relay's pin is high, which is off")
        for state, level in [("on", "low"), ("off", "high")]:
            with urllib.request.urlopen(relay, data=f"state={state}".encode(), timeout=30) as answer:
                assert json.load(answer)["state"] == state
            until(lambda level=level: pins(lab, node)[0]["GPIO0"] == ("output", level), f"GPIO0 is {level}")
        lab.run("lab", "adc", node["hostname"], "300")
        lab.run("lab", "pin", node["hostname"], "4", "high")
        found, adc = pins(lab, node)
        assert (found["GPIO4"], adc) == (("unused", "high"), 300)
        lab.run("lab", "pin", node["hostname"], "0", "high", code=4)
        lab.run("lab", "pin", node["hostname"], "9", "high", code=4)


def test_the_router_tells_the_time(lab):
    for node in lab.nodes():

        def told(node=node):
            status = json.loads(lab.run("node", "status", node["ip"], "--json"))
            return abs(status.get("time", 0) - time.time()) < 5

        until(told, "the time of day")


def test_another_boards_image_is_refused(lab):
    virtual = next(node for node in lab.nodes() if node["board"] == "virtual")
    lab.run("ota", "update", virtual["ip"], str(IMAGE), code=4)
    lab.all_see_all()

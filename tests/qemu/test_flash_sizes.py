"""Chips of 2 and 4 MB: they boot, are updated and keep their configuration; only the SDK's sectors lie elsewhere."""

import json
import struct
import zlib

import pytest
from test_cluster import IMAGE, Lab

MEGABYTE = 1 << 20
SDK = 5 * 4096
BLANK = b"\xff"


@pytest.fixture(params=[2, 4])
def lab(request, tmp_path):
    lab = Lab(tmp_path / "lab")
    lab.megabytes = request.param
    lab.up = lambda: lab.run("up", "--nodes", "1", "--emulated", "1", "--flash", str(request.param), "--detach")
    lab.up()
    yield lab
    lab.run("down")


def emulated(lab):
    return next(node for node in lab.nodes() if node["kind"] == "emulated")


def status(lab):
    return json.loads(lab.run("node", "status", emulated(lab)["ip"], "--json"))


def config(lab):
    return json.loads(lab.run("node", "config", emulated(lab)["ip"], "--json"))["memberInfoIntervalMs"]


def newer(tmp_path):
    image = bytearray(IMAGE.read_bytes())
    image[56:80] = b"0.9.0".ljust(24, b"\0")
    struct.pack_into("<I", image, 252, zlib.crc32(bytes(image[:252])))
    path = tmp_path / "newer.spore"
    path.write_bytes(image)
    return path


def test_a_larger_chip_boots_is_updated_and_keeps_its_configuration(lab, tmp_path):
    size = lab.megabytes * MEGABYTE
    assert status(lab)["flashChipSize"] == size
    lab.run("node", "config", emulated(lab)["ip"], "memberInfoIntervalMs=12345")
    lab.run("ota", "update", emulated(lab)["ip"], str(newer(tmp_path)))
    after = status(lab)
    assert (after["version"], after["image"]["slot"], after["image"]["state"]) == ("0.9.0", "b", "confirmed")
    assert config(lab) == 12345
    # Off and on again: the same chip.
    lab.run("down")
    lab.up()
    assert (status(lab)["version"], config(lab)) == ("0.9.0", 12345)
    flash = open(emulated(lab)["flash"], "rb").read()
    assert len(flash) == size
    assert flash[MEGABYTE : size - SDK].strip(BLANK) == b"", "the space between lies idle"
    assert flash[MEGABYTE - SDK : MEGABYTE].strip(BLANK) == b"", "where the SDK's sectors are on a chip of 1 MB"
    assert flash[size - SDK :].strip(BLANK) != b"", "the SDK's sectors"

"""The captive portal of the firmware: a node without a network, a guest on its own access point."""

import gzip

import pytest
from guest import MAC, NODE, Guest

CONFIGURATION = slice(0xF8000, 0xFB000)


@pytest.fixture
def guest(chip, home, tmp_path):
    flash = bytearray(home.flash)
    flash[CONFIGURATION] = b"\xff" * len(flash[CONFIGURATION])
    node = chip(bytes(flash), guests=1)
    mac = bytearray.fromhex(home.board["mac"].replace(":", ""))
    mac[0] ^= 4 if mac[0] & 2 else 2
    guest = Guest(tmp_path / "cable", bytes(mac))
    plain = node.command

    def command():
        arguments = plain()
        place = arguments.index("-netdev")
        arguments[place + 1] = f"stream,id=n0,server=off,addr.type=unix,addr.path={tmp_path / 'cable'}"
        return arguments

    node.command = command
    node.power_on()
    guest.connected()
    guest.node = node
    node.says("wifi idle")
    yield guest
    guest.close()


def test_a_guest_is_led_to_the_choice_of_a_network(guest):
    address, said = guest.dhcp(1)
    assert (list(address), said[53]) == ([192, 168, 4, 100], b"\2"), "offered"
    address, said = guest.dhcp(3, bytes([50, 4]) + address + bytes([54, 4]) + NODE)
    assert said[53] == b"\5", "granted"
    assert (said[1], said[3], said[6], said[54]) == (b"\xff\xff\xff\0", NODE, NODE, NODE)
    guest.ip = address

    query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + b"\7captive\5apple\3com\0\0\1\0\1"
    receiver, answer = guest.ask(53, query)
    assert receiver == MAC and answer[:4] == b"\x12\x34\x85\0" and answer[-4:] == NODE

    head, _, body = guest.get("/hotspot-detect.html").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 302 Found\r\n") and b"\r\nLocation: http://192.168.4.1/wifi\r\n" in head and not body
    head, _, body = guest.get("/wifi").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Choose the WiFi network" in gzip.decompress(body)
    head, _, body = guest.get("/api/network/status").partition(b"\r\n\r\n")
    assert b'"mode":"AP"' in body and b'"clients":1' in body and b'"active":true' in body

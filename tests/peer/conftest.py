"""A network namespace of its own for every run: nothing sent here leaves it."""

import os
import subprocess

import pytest

# The lab's network (docs/lan.md): its prefix, and the address of all in it.
PREFIX = 16
SUBNET_BROADCAST = "10.4.255.255"


def pytest_collection_modifyitems(config, items):
    if not os.environ.get("SPORE_TEST_NETNS"):
        reason = "needs a network namespace of its own: run ./ctl.sh test peer"
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def tap_lab():
    """Three of our nodes, with this namespace on their network through the interface spore0."""
    from harness import Lab

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with Lab(3, "--tap", "spore0") as lab:
        for last in range(201, 210):
            subprocess.run(["ip", "address", "add", f"10.4.0.{last}/{PREFIX}", "dev", "spore0"], check=True)
        lab.settle()
        yield lab


@pytest.fixture
def lab(tap_lab):
    tap_lab.settle()
    return tap_lab


@pytest.fixture
def peers():
    """Makes peers, and stops them at the end."""
    from text_peer import TextPeer

    made = []

    def make(generation, last_byte):
        ip = f"10.4.0.{last_byte}"
        peer = TextPeer(generation, ip, f"esp_{0xC0DE00 + last_byte:06x}", SUBNET_BROADCAST).start()
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.stop()

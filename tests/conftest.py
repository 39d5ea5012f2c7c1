"""Fixtures of all tests that need a running lab."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import Lab  # noqa: E402  (the path is set just above)


# Whoever ends a run, a lab must not outlive it: the fixtures below stop theirs.
signal.signal(signal.SIGTERM, signal.default_int_handler)
# A shell's job in the background would ignore this one.
signal.signal(signal.SIGINT, signal.default_int_handler)


class SharedLab:
    """One lab of five nodes for the whole run. What a failed test left beyond repair is replaced by a new one."""

    def __init__(self):
        self.lab = None

    def settled(self):
        """The lab, whole, without faults, everybody seeing everybody."""
        if self.lab:
            try:
                self.lab.settle()
            except AssertionError:
                self.stop()
        if not self.lab:
            self.lab = Lab(5)
            self.lab.settle()
        return self.lab

    def stop(self):
        if self.lab:
            self.lab.stop()
        self.lab = None


@pytest.fixture(scope="session")
def shared_lab():
    shared = SharedLab()
    yield shared
    shared.stop()


@pytest.fixture
def lab(shared_lab):
    """The shared lab, whole and without faults. A test may break what `SharedLab.settled` mends, no more."""
    return shared_lab.settled()


@pytest.fixture
def nodes(lab):
    """The nodes of the shared lab."""
    return lab.nodes

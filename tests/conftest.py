"""Fixtures of all tests that need a running lab."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import Lab  # noqa: E402  (the path is set just above)


@pytest.fixture(scope="session")
def shared_lab():
    """One lab of five nodes for the whole run. Tests that use it leave it as they found it: use `lab`, which sees to it."""
    with Lab(5) as lab:
        lab.settle()
        yield lab


@pytest.fixture
def lab(shared_lab):
    """The shared lab, whole and without faults."""
    shared_lab.settle()
    return shared_lab


@pytest.fixture
def nodes(lab):
    """The five nodes of the shared lab."""
    return lab.nodes

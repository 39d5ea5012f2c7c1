"""What the tests of the whole firmware share."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from emulated_node import EmulatedNode  # noqa: E402  (the path is set just above)
from flash_content import BUILT  # noqa: E402
from harness import Lab  # noqa: E402
from long_waits import begun  # noqa: E402


@dataclass
class Home:
    """What a node of a lab has when the lab has made it: a flash with settings, a board, access points in reach."""

    flash: bytes
    board: dict
    air: str
    config: dict


class EmulatedLab(Lab):
    """A lab in a folder that has the firmware where the command looks for it."""

    def start(self):
        (self.folder / "build").symlink_to(BUILT.parent)
        super().start()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A node as the lab makes it from chip.bin, with its network stored, and a setting of the user's; never started since."""
    with EmulatedLab(0, "--emulated", "1") as lab:
        node = lab.nodes[0]
        folder = lab.folder / "state" / "node-1"
        config = node.config(hostname="keeper", labels={"shelf": "7"})
        lab.spore("down")
        board = dict(line.split("=") for line in (folder / "board.txt").read_text().split())
        return Home((folder / "flash.bin").read_bytes(), board, (folder / "air.txt").read_text(), config)


@pytest.fixture
def chip(home, tmp_path):
    """Makes emulated nodes, which are off at the end."""
    made = []

    def make(flash=None, name="chip", **board):
        made.append(EmulatedNode(tmp_path / name, home, flash, **board))
        return made[-1]

    yield make
    for each in made:
        each.off()


@pytest.fixture(scope="session")
def long_waits(home, tmp_path_factory):
    """What takes long because the firmware waits, begun now and done beside other tests (long_waits.py)."""
    with begun(home, tmp_path_factory.mktemp("waits")) as jobs:
        yield jobs

"""What the tests of flashing and of the monitor share: a project that was built for chips, the command, pseudo-terminals."""

import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import image  # noqa: E402  (the path is set just above)
from chip import baud_of  # noqa: E402
from harness import COMMAND, wait_until  # noqa: E402

SSID, PASSWORD = "serial test", "a pass phrase for tests 4711"
# What Espressif's file of 128 bytes is in a real build.
RADIO = bytes(range(5, 133))


def bootloader():
    """An image as the ROM loads it, with the defaults of a build: DOUT, 1 MB, 40 MHz. The code in it is none."""
    data = bytes(range(256)) * 20
    checksum = 0xEF
    for byte in data:
        checksum ^= byte
    whole = struct.pack("<BBBBI", 0xE9, 1, 3, 0x20, 0x40108000) + struct.pack("<II", 0x40108000, len(data)) + data
    return whole.ljust((len(whole) // 16 + 1) * 16 - 1, b"\0") + bytes([checksum])


class Project:
    """A folder with what `build` leaves there when it links with Espressif's SDK: made by hand, for the SDK is in no repository.

    The image is of the real format and passes every check a chip makes before it starts one; its code is random bytes.
    """

    def __init__(self, folder, size=150_000):
        self.folder = folder
        self.built = folder / "build" / "esp8266"
        self.built.mkdir(parents=True)
        (folder / "ctl.sh").touch()
        self.bootloader = bootloader()
        self.image = image.image("1.2.0", board="esp8266", size=size, entry=0x40100010)
        (self.built / "bootloader.bin").write_bytes(self.bootloader)
        (self.built / "firmware.spore").write_bytes(self.image)
        (self.built / "chip.bin").write_bytes(self.with_radio(bytearray(b"\xff" * (1 << 20))))

    @staticmethod
    def with_radio(chip):
        start = len(chip) - 0x4000
        chip[start : start + len(RADIO)] = RADIO
        return chip

    def environment(self, **settings):
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("WIFI_", "SPORE_", "ESP8266_"))}
        inherited |= {"SPORE_ESPTOOL": os.environ["SPORE_ESPTOOL"]} if "SPORE_ESPTOOL" in os.environ else {}
        return inherited | {"NO_COLOR": "1"} | settings

    def spore(self, *words, code=0, **settings):
        """Runs the command here; its exit code must be `code`."""
        done = subprocess.run(
            [COMMAND, *words], cwd=self.folder, env=self.environment(**settings), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def flash(self, chip, *words, **settings):
        """Flashes a chip with the network of these tests; the report."""
        settings = {"WIFI_SSID": SSID, "WIFI_PASSWORD": PASSWORD} | settings
        words = ["flash", "--json", "--port", str(chip.path), *words]
        done = self.spore(*words, *([] if chip.log else ["--no-wait"]), **settings)
        assert PASSWORD not in done.stdout + done.stderr
        return json.loads(done.stdout) | {"messages": done.stderr}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)


class Board:
    """A board that talks: a pseudo-terminal whose other end the test writes to."""

    def __init__(self, folder):
        self.path = folder / "ttyUSB1"
        self.plug()

    def plug(self):
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self):
        self.path.unlink()
        os.close(self.master)

    def opened(self):
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        return not dict(poll.poll(0)).get(self.master, 0) & select.POLLHUP

    def say(self, data):
        wait_until(self.opened, 30, "the monitor opens the port")
        # Whoever opens it sets it up first.
        time.sleep(0.2)
        os.write(self.master, data)

    def baud(self):
        return baud_of(self.master)


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


class Monitor:
    """The monitor, running."""

    def __init__(self, project, board, *words, path=None):
        settings = {"PATH": f"{path}:{os.environ['PATH']}"} if path else {}
        self.process = subprocess.Popen(
            [COMMAND, "monitor", "--port", str(board.path), *words], cwd=project.folder,
            env=project.environment(**settings), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.out, self.messages = [], []
        for pipe, lines in [(self.process.stdout, self.out), (self.process.stderr, self.messages)]:
            threading.Thread(target=lambda pipe=pipe, lines=lines: lines.extend(pipe) or [], daemon=True).start()

    def lines(self, count, what="lines"):
        wait_until(lambda: len(self.out) >= count, 30, f"{count} {what}, so far {self.out} {self.messages}")
        return [line.rstrip("\n") for line in self.out]

    def told(self, text):
        wait_until(lambda: any(text in line for line in self.messages), 30, f"{text!r} among {self.messages}")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def monitor(project, board):
    running = []

    def start(*words, path=None):
        running.append(Monitor(project, board, *words, path=path))
        return running[-1]

    yield start
    for each in running:
        each.process.kill()
        each.process.wait()

"""An emulated ESP8266 that runs the firmware, alone in a network of its own: QEMU's user network, which gives it an address by DHCP,
lets nothing out, and carries a port of the loopback to its port 80."""

import contextlib
import os
import random
import socket
import subprocess
import time

from chip import Chip
from flash_content import BUILT
from harness import Node, wait_until

# Below the ports that the system gives away by itself.
PORTS = range(15000, 20000)
ADDRESS = "10.0.2.15"


def free_port():
    """A port of the loopback that nobody uses."""
    for port in random.sample(PORTS, 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as server:
            return port
    raise AssertionError("no free port")


class EmulatedNode(Chip):
    """A chip with the built bootloader and some firmware. Its HTTP is `node`. Use as a context manager: it is off at the end."""

    def __init__(self, directory, home, flash=None, **board):
        super().__init__(directory, BUILT / "rom.elf", bytes(home.flash if flash is None else flash), **home.board | board)
        (directory / "air.txt").write_text(home.air)
        self.port = free_port()
        self.node = Node(None, {"hostname": directory.name, "ip": ADDRESS, "local": f"127.0.0.1:{self.port}"})
        self.process = None
        # Further ones of QEMU's.
        self.arguments = []

    def command(self):
        command = super().command() + self.arguments
        network = f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-{ADDRESS}:80"
        place = command.index("-nic")
        command[place : place + 2] = ["-netdev", network, "-net", "nic,netdev=n0,model=open_eth"]
        # The serial line is typed to through standard input.
        place = command.index("-serial")
        command[place : place + 2] = ["-chardev", "stdio,id=line,signal=off,logfile=serial.log", "-serial", "chardev:line"]
        return command

    def power_on(self, **board):
        """Starts the chip; with settings of its board, or with those it has."""
        self.off()
        if board:
            self.set(**board)
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.directory / "serial.log")
        self.process = subprocess.Popen(
            self.command(), cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return self

    def type(self, text):
        """Types to the serial line."""
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def off(self):
        """Pulls the plug: its exit code, if it had ended itself."""
        process, self.process = self.process, None
        if process is None:
            return None
        code = process.poll()
        process.kill()
        process.wait()
        process.stdin.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.off()

    def until(self, condition, seconds, what):
        """Waits until a condition holds; fails at once when QEMU ends, with what the serial line says."""

        def look():
            process = self.process
            assert process, "the chip was switched off"
            assert process.poll() is None, f"QEMU ended with code {process.returncode}"
            return condition()

        try:
            return wait_until(look, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; serial line:\n{self.serial()}") from None

    def says(self, text, seconds=60):
        """Waits until the serial line has said something since power on."""
        self.until(lambda: text in self.serial(), seconds, f"{text!r} on the serial line")

    def up(self, seconds=60, where=lambda status: True, **expected):
        """Waits until the node is in its network and tells all this in its status; returns the status."""

        def answered():
            # What is sent to a node without an address is only sent again after a second, and then two, and so on.
            if "wifi connected" not in self.serial().rpartition("rst cause:")[2]:
                return None
            answer = self.node.request("GET", "/api/node/status", timeout=5)
            status = answer.json if answer.status == 200 else None
            return status if status and where(status) and expected.items() <= status.items() else None

        return self.until(answered, seconds, f"the node answers, with {expected}")

    def update(self, image, slot):
        """Sends an image, which must be taken; returns when it has begun its first start from this slot, confirmed or not."""
        before = self.starts(slot)
        answer = self.node.patient(lambda: self.node.upload(bytes(image)))
        assert answer.status == 200, answer
        self.until(lambda: self.starts(slot) > before, 60, f"it starts from slot {slot}")

    def starts(self, slot):
        """How often the bootloader has said since power on that it starts a slot."""
        return self.serial().count(f"spore: slot {slot}")

    def confirmed(self, version, seconds=90):
        """Waits until the node runs a version and has confirmed it; returns its status."""
        return self.up(seconds, lambda status: status["image"]["state"] == "confirmed", version=version)

    def ended(self, seconds=60):
        """Waits until QEMU ends: its exit code."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"QEMU did not end; serial line:\n{self.serial()}"
            time.sleep(0.02)
        return self.off()

"""An emulated ESP8266 to test with: building the stand-in of its ROM, filling its flash, running it in QEMU."""

import contextlib
import os
import struct
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
LIBRARIES = FIRMWARE / "target" / "lx106-none-elf" / "release"

POWER_CUT, VIOLATION, BAD_BOARD = 70, 71, 72
SECTOR = 4096
FLASH_WINDOW = range(0x40200000, 0x40300000)


def link(library, scripts, to):
    """Links a staticlib of the firmware's workspace at its addresses."""
    arguments = [argument for script in scripts for argument in ("-T", FIRMWARE / "link" / script)]
    subprocess.run(
        ["xtensa-lx106-elf-ld", "--gc-sections", "--no-warn-rwx-segments", *arguments, "-o", to]
        + ["--start-group", LIBRARIES / f"lib{library}.a", "--end-group"],
        check=True,
    )


def build(directory):
    """rom.elf and probe.elf in a directory."""
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "spore-rom", "-p", "spore-probe"], cwd=FIRMWARE, check=True
    )
    link("spore_rom", ["rom-standin.ld"], directory / "rom.elf")
    link("spore_probe", ["rom.ld", "probe.ld"], directory / "probe.elf")


def segments(elf):
    """Entry and loadable segments (address, bytes) of a 32-bit ELF file."""
    data = elf.read_bytes()
    entry, headers = struct.unpack_from("<II", data, 24)
    size, count = struct.unpack_from("<HH", data, 42)
    found = []
    for number in range(count):
        kind, offset, address, _, length, _ = struct.unpack_from("<6I", data, headers + number * size)
        if kind == 1 and length:
            content = data[offset : offset + length]
            found.append((address, content + bytes(-length % 4)))
    return entry, found


def rom_image(elf):
    """The image that the boot ROM loads: 0xE9, segments that go to RAM, checksum as last byte of 16."""
    entry, parts = segments(elf)
    parts = [part for part in parts if part[0] not in FLASH_WINDOW]
    image = struct.pack("<BBBBI", 0xE9, len(parts), 3, 0x20, entry)
    checksum = 0xEF
    for address, content in parts:
        image += struct.pack("<II", address, len(content)) + content
        for byte in content:
            checksum ^= byte
    image += bytes(15 - len(image) % 16)
    return image + bytes([checksum])


class Chip:
    """A directory with the files of one emulated chip."""

    def __init__(self, directory, rom, flash, **board):
        self.directory = directory
        self.rom = rom
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "flash.bin").write_bytes(flash)
        self.set(**board)

    def set(self, **board):
        """Writes board.txt."""
        lines = [f"{key}={value}\n" for key, value in board.items()]
        (self.directory / "board.txt").write_text("".join(lines))

    def flash(self):
        return (self.directory / "flash.bin").read_bytes()

    def serial(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / "serial.log").read_text(errors="replace").replace("\r\n", "\n")
        return ""

    def command(self):
        return [
            *("qemu-system-xtensa", "-M", "lx60", "-cpu", "lx106", "-display", "none", "-monitor", "none"),
            *("-parallel", "none", "-nic", "none", "-semihosting"),
            *("-serial", "file:serial.log", "-kernel", os.fspath(self.rom)),
        ]

    def start(self):
        """QEMU, running."""
        return subprocess.Popen(self.command(), cwd=self.directory, stderr=subprocess.PIPE, text=True)

    def run(self, timeout=60):
        """Runs until the chip ends QEMU: its exit code."""
        with self.start() as process:
            try:
                _, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"QEMU did not end; serial line:\n{self.serial()}") from None
        assert process.returncode < 128 and not errors, errors
        return process.returncode

    def wait_for(self, text, timeout=60):
        """Waits until the serial line has said something."""
        end = time.monotonic() + timeout
        while text not in self.serial():
            assert time.monotonic() < end, f"{text!r} is not in:\n{self.serial()}"
            time.sleep(0.05)

"""What lies in the flash of an ESP8266 with SPORE, written and read from docs/image.md and docs/update.md, not by the code under test."""

import hashlib
import struct
import subprocess
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "esp8266-qemu"

SECTOR = 4096
SLOTS = {"a": 0x2000, "b": 0x7C000}
SLOT_BYTES = 488 * 1024
RECORD = 0xF6000
CONFIG = range(0xF8000, 0xFB000)

HEADER = 256
TABLE = 3840
# Where slot A's first byte is seen through the flash cache, and how far B lies behind it.
WINDOW_A = 0x40200000 + SLOTS["a"]
DISTANCE = SLOTS["b"] - SLOTS["a"]

PANIC = b"\x00\x00\x00"  # ill: what a panic is compiled to
HANG = b"\x06\xff\xff"  # j to itself
RETURN = b"\x80\x00\x00"  # ret


class Image:
    """A firmware image, as it is uploaded and as it lies in slot A."""

    def __init__(self, data):
        self.data = bytearray(data)

    @classmethod
    def built(cls):
        """The firmware."""
        return cls((BUILT / "firmware.spore").read_bytes())

    def __bytes__(self):
        return bytes(self.data)

    def word(self, offset):
        return struct.unpack_from("<I", self.data, offset)[0]

    @property
    def version(self):
        return self.data[56:80].rstrip(b"\0").decode()

    def sealed(self, version=None, board=None):
        """This image with the checksums that its content needs, and another version or board."""
        if version is not None:
            self.data[56:80] = version.encode().ljust(24, b"\0")
        if board is not None:
            self.data[8:24] = board.encode().ljust(16, b"\0")
        self.data[112:144] = hashlib.sha256(self.data[HEADER : HEADER + self.word(84)]).digest()
        struct.pack_into("<I", self.data, 252, zlib.crc32(self.data[:252]))
        return self

    def segments(self):
        """Segments of RAM: (address, offset in the image, length)."""
        table, count = HEADER + self.word(96), self.word(100)
        rows = [struct.unpack_from("<3I", self.data, table + 12 * row) for row in range(count)]
        return [(address, HEADER + offset, length) for address, offset, length in rows]

    def place(self, address):
        """The offset in the image of what the firmware has at this address."""
        for start, offset, length in self.segments():
            if start <= address < start + length:
                return offset + address - start
        assert WINDOW_A + SECTOR <= address < WINDOW_A + len(self.data), hex(address)
        return address - WINDOW_A

    def patched(self, address, code):
        """The firmware with other machine code at an address."""
        offset = self.place(address)
        self.data[offset : offset + len(code)] = code
        return self

    def relocations(self):
        """Offsets in the image of the words that depend on the slot: distances in words, as LEB128."""
        found, at, position = [], HEADER, HEADER
        for _ in range(self.word(108)):
            distance = shift = 0
            while True:
                byte = self.data[at]
                at += 1
                distance |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
            position += 4 * distance
            found.append(position)
        return found

    def in_slot(self, slot, relocations=None):
        """What is programmed into a slot."""
        moved = bytearray(self.data)
        if slot == "b":
            for offset in self.relocations() if relocations is None else relocations:
                value = struct.unpack_from("<I", moved, offset)[0]
                if WINDOW_A <= value < WINDOW_A + DISTANCE:
                    struct.pack_into("<I", moved, offset, value + DISTANCE)
        return bytes(moved)


def symbol(*parts):
    """The address of the one function of the firmware that has this name, or whose mangled name holds all these parts."""
    listing = subprocess.run(
        ["readelf", "-sW", BUILT / "firmware.elf"], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split() for line in listing.split("\n")]
    found = {
        row[7]: int(row[1], 16)
        for row in rows
        if len(row) == 8 and row[3] == "FUNC" and (row[7:] == list(parts) or all(part in row[7] for part in parts))
    }
    assert len(found) == 1, (parts, found)
    return next(iter(found.values()))


def entry(sequence, boots, slot="a", trial=None, outcome=0, reason=(0, 0), version=""):
    """An entry of the boot record. `trial`: starts and crashes so far."""
    starts, crashes = trial or (0, 0)
    head = struct.pack("<II8B24s20x", sequence, boots, 1, "ab".index(slot), trial is not None, starts, crashes, outcome,
                       *reason, version.encode())  # fmt: skip
    return head + struct.pack("<I", zlib.crc32(head))


def record(flash):
    """The newest valid entry of the boot record: sequence number, starts, slot, trial, outcome, reason and version."""
    best = None
    for offset in range(RECORD, RECORD + 2 * SECTOR, 64):
        data = flash[offset : offset + 64]
        if zlib.crc32(data[:60]) != struct.unpack_from("<I", data, 60)[0]:
            continue
        sequence, boots, form, slot, trial, starts, crashes, outcome, reason, count = struct.unpack_from("<II8B", data)
        if form != 1 or best and best["sequence"] >= sequence:
            continue
        best = {
            "sequence": sequence,
            "boots": boots,
            "slot": "ab"[slot],
            "trial": (starts, crashes) if trial else None,
            "outcome": outcome,
            "reason": (reason, count),
            "version": data[16:40].rstrip(b"\0").decode(),
        }
    return best


def with_records(flash, *entries):
    """A flash whose boot record holds these entries, in its first sector, and no others."""
    log = b"".join(entries)
    assert len(log) <= SECTOR
    flash = bytearray(flash)
    flash[RECORD : RECORD + 2 * SECTOR] = log.ljust(2 * SECTOR, b"\xff")
    return flash


def with_image(flash, slot, image):
    """A flash with an image in a slot, and nothing else there."""
    flash = bytearray(flash)
    start = SLOTS[slot]
    flash[start : start + SLOT_BYTES] = image.in_slot(slot).ljust(SLOT_BYTES, b"\xff")
    return flash

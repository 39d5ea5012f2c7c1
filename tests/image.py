"""Firmware images made by hand, from the table in docs/update.md: good ones and every kind of bad one."""

import hashlib
import struct
import zlib

HEADER = 256
# The board of a lab's nodes, and the size of one of its two slots.
BOARD = "virtual"
SLOT = 488 * 1024


def image(version, act="healthy", *, board=BOARD, name="spore", size=20000, magic=b"SPOR", after_ms=None, entry=0):
    """An unsigned image for the virtual board whose node will do `act`; `size` is that of the whole. What a chip runs has an `entry`."""
    record = f"spore-virtual 1\nact {act}\n" + (f"after-ms {after_ms}\n" if after_ms is not None else "") + "\n"
    # Bytes that differ, so that a lost or repeated block shows.
    filler = hashlib.shake_128(version.encode()).digest(size)
    payload = (record.encode() + filler)[: size - HEADER]
    head = struct.pack(
        "<4sHH16s32s24sIIIIIIII32s8s64s36s",
        magic, 1, HEADER, board.encode(), name.encode(), version.encode(), 0, len(payload), entry, 0, 0, 0, 0, 0,
        hashlib.sha256(payload).digest(), b"", b"", b"",
    )  # fmt: skip
    return head + struct.pack("<I", zlib.crc32(head)) + payload


def sha256_of(whole):
    """The SHA-256 an image carries: that of its payload, in hex digits."""
    return whole[112:144].hex()


def flipped(whole, offset):
    """The image with one bit wrong."""
    return whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :]

"""An ESP8266 on a serial line, for tests: what esptool (the program, unmodified) finds behind a USB adapter.

Written from esptool's description of the protocol and from what it sends, never from SPORE's code. Two voices:

- the ROM's loader, as a chip has it that starts with GPIO0 low: packets in SLIP frames, SYNC, registers (the flash chip's
  identification among them, through the SPI controller's), writing to RAM, writing to flash without compression;
- esptool's stub, a program the loader is given and starts. Its machine code is not executed: once the chip is told to start it,
  the chip speaks as the stub does (compressed writing, MD5, reading), and says `OHAI` first.

The flash behaves as NOR flash: erasing makes ones, by sectors; writing makes zeros. The ROM's loader erases more than it is
asked to (a bug esptool knows and reckons with), and what it erases beyond the chip's end is the chip's beginning.

After the chip was flashed and its line let go, its owner takes GPIO0 off ground and gives it power anew: then it says what `log` holds.
"""

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import struct
import threading
import time
import tty
import zlib

SECTOR = 4096
# Manufacturer, type, and the power of two of the size in bytes, as the command 0x9F answers.
FLASH_IDS = {512 << 10: 0x1340C8, 1 << 20: 0x146085, 2 << 20: 0x1540C8, 4 << 20: 0x1640EF, 8 << 20: 0x1740EF}
ESP8266 = 0xFFF0C101
ESP32 = 0x00F01D83
ROM_LOG = b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\n"


def baud_of(terminal):
    """The rate of a pseudo-terminal, of whatever number (Linux: `struct termios2`)."""
    return struct.unpack_from("I", fcntl.ioctl(terminal, 0x802C542A, bytes(44)), 40)[0]


class Unplugged(Exception):
    """The adapter was pulled out."""


class Chip:
    """A chip on a pseudo-terminal, at a path of its own that stays the same when it is unplugged and plugged in again."""

    def __init__(self, folder, flash, *, magic=ESP8266, silent=False, log=b"", unplug_after=None, stall_after=None, flash_id=None):
        self.path = folder / "ttyUSB0"
        self.flash = bytearray(flash)
        self.magic, self.silent, self.log = magic, silent, log
        self.unplug_after, self.stall_after = unplug_after, stall_after
        self.stalled = threading.Event()
        self.flash_id = FLASH_IDS[len(flash)] if flash_id is None else flash_id
        # What was asked of it: names of operations.
        self.asked = []
        self.baud_changes = []
        self.erased = set()
        self.master = None
        self.thread = None
        self.plug()

    def plug(self):
        """Plug it in, with GPIO0 at ground."""
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.registers = {0x60000014: 2 * 26_000_000 // 115200, 0x40001000: self.magic}
        self.registers |= {0x3FF00050: 0x12000000, 0x3FF00054: 0x0000AB34, 0x3FF00058: 0, 0x3FF0005C: 0}
        self.stub = False
        self.flashed = False
        self.received = 0
        self.stop = threading.Event()
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def unplug(self):
        """Pull the adapter out."""
        self.stop.set()
        self.thread.join()

    def live(self):
        try:
            self.load()
            if self.flashed:
                self.run()
        except Unplugged:
            pass
        self.path.unlink(missing_ok=True)
        os.close(self.master)

    # --- the line ---

    def read(self):
        """What came, or None when nobody has the line open."""
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        while not self.stop.is_set():
            events = dict(poll.poll(20)).get(self.master, 0)
            if events & select.POLLIN:
                data = os.read(self.master, 4096)
                self.received += len(data)
                if self.unplug_after is not None and self.received > self.unplug_after:
                    raise Unplugged
                if self.stall_after is not None and self.received > self.stall_after:
                    self.stalled.set()
                    continue
                return data
            if events & select.POLLHUP:
                time.sleep(0.02)
                return None
        raise Unplugged

    def write(self, data):
        poll = select.poll()
        poll.register(self.master, select.POLLOUT)
        while data:
            if self.stop.is_set():
                raise Unplugged
            if poll.poll(20):
                # Nobody has the line open: what is sent is lost.
                with contextlib.suppress(OSError):
                    data = data[os.write(self.master, data[:512]) :]
                    continue
                return

    def frame(self, packet):
        self.write(b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0")

    def frames(self):
        """Packets, until the line is let go after a flashing."""
        packet, escaped = None, False
        while True:
            data = self.read()
            if data is None:
                if self.flashed:
                    return
                packet = None
                continue
            if self.silent:
                continue
            for byte in data:
                if byte == 0xC0:
                    if packet:
                        yield bytes(packet)
                    packet = bytearray()
                elif packet is None:
                    pass
                elif escaped:
                    packet.append({0xDC: 0xC0, 0xDD: 0xDB}[byte])
                    escaped = False
                elif byte == 0xDB:
                    escaped = True
                else:
                    packet.append(byte)

    # --- the loader and the stub ---

    def load(self):
        self.acknowledged = None
        for packet in self.frames():
            if self.acknowledged is not None:
                self.acknowledged(packet)
                continue
            if len(packet) < 8 or packet[0] != 0:
                continue
            _, code, length, check = struct.unpack_from("<BBHI", packet)
            self.obey(code, packet[8 : 8 + length], check)

    def answer(self, code, value=0, data=b"", status=0, reason=0):
        self.frame(struct.pack("<BBHI", 1, code, len(data) + 2, value) + data + bytes([status, reason]))

    def obey(self, code, data, check):
        name, stub_only = COMMANDS.get(code, (None, True))
        if name is None or (stub_only and not self.stub):
            self.answer(code, status=1, reason=5)
            return
        if name not in ("read_register", "write_register"):
            self.asked.append(name)
        getattr(self, name)(code, data, check)

    @staticmethod
    def content(data, check):
        """The bytes a data packet carries; their checksum must be right."""
        length, _, _, _ = struct.unpack_from("<IIII", data)
        block = data[16 : 16 + length]
        checksum = 0xEF
        for byte in block:
            checksum ^= byte
        assert len(block) == length and checksum == check, "a packet with a wrong length or checksum"
        return block

    def synchronise(self, code, _data, _check):
        for _ in range(8):
            self.answer(code, value=0 if self.stub else 0x20120707)

    def read_register(self, code, data, _check):
        self.answer(code, value=self.registers.get(struct.unpack("<I", data)[0], 0))

    def write_register(self, code, data, _check):
        address, value, mask, _ = struct.unpack_from("<IIII", data)
        self.registers[address] = (self.registers.get(address, 0) & ~mask) | (value & mask)
        if address == 0x60000200 and value & (1 << 18):
            # The SPI controller sends the command in the low byte of USR2 and puts the answer into W0.
            command = self.registers[0x60000224] & 0xFF
            self.registers[0x60000240] = self.flash_id if command == 0x9F else 0
            self.registers[address] = 0
        self.answer(code)

    def ram_begin(self, code, _data, _check):
        self.answer(code)

    def ram_data(self, code, data, check):
        self.content(data, check)
        self.answer(code)

    def ram_end(self, code, _data, _check):
        self.answer(code)
        self.stub = True
        self.frame(b"OHAI")

    def flash_begin(self, code, data, _check):
        size, _, _, offset = struct.unpack_from("<IIII", data)
        self.begin(offset, None)
        if size and not self.stub:
            sectors = size // SECTOR
            head = min(16 - offset // SECTOR % 16, sectors)
            for sector in range(offset // SECTOR, offset // SECTOR + sectors + head):
                self.erase(sector % (len(self.flash) // SECTOR))
        self.answer(code)

    def begin(self, offset, inflate):
        self.at, self.inflate, self.erased = offset, inflate, set()

    def flash_data(self, code, data, check):
        self.program(self.content(data, check))
        self.answer(code)

    def flash_end(self, code, _data, _check):
        self.answer(code)

    def deflated_begin(self, code, data, _check):
        _, _, _, offset = struct.unpack_from("<IIII", data)
        self.begin(offset, zlib.decompressobj())
        self.answer(code)

    def deflated_data(self, code, data, check):
        self.program(self.inflate.decompress(self.content(data, check)))
        self.answer(code)

    def program(self, data):
        for sector in range(self.at // SECTOR, (self.at + len(data) + SECTOR - 1) // SECTOR):
            if self.stub and sector not in self.erased:
                self.erase(sector)
        for index, byte in enumerate(data, self.at):
            self.flash[index] &= byte
        self.at += len(data)
        # The boot record's place: SPORE writes it last.
        self.flashed |= 0xF6000 < self.at <= 0xF8000

    def erase(self, sector):
        self.erased.add(sector)
        self.flash[sector * SECTOR : (sector + 1) * SECTOR] = b"\xff" * SECTOR

    def md5(self, code, data, _check):
        address, size, _, _ = struct.unpack_from("<IIII", data)
        self.answer(code, data=hashlib.md5(self.flash[address : address + size]).digest())

    def change_baud(self, code, data, _check):
        self.baud_changes.append(struct.unpack_from("<I", data)[0])
        self.answer(code)

    def read_flash(self, code, data, _check):
        address, size, block, _ = struct.unpack_from("<IIII", data)
        content = bytes(self.flash[address : address + size])
        self.answer(code)
        sent = 0

        def next_block(packet):
            nonlocal sent
            if packet is not None:
                assert struct.unpack("<I", packet)[0] == sent, "a block was not acknowledged"
            if sent == size:
                self.acknowledged = None
                self.frame(hashlib.md5(content).digest())
                return
            self.acknowledged = next_block
            piece = content[sent : sent + block]
            sent += len(piece)
            self.frame(piece)

        next_block(None)

    def nothing(self, code, _data, _check):
        self.answer(code)

    # --- after flashing ---

    def run(self):
        """The owner has restarted it: it says what it says as soon as somebody listens."""
        while self.read_or_wait():
            pass
        self.write(ROM_LOG + self.log)
        while True:
            self.read()

    def read_or_wait(self):
        """True while nobody has the line open."""
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        if self.stop.is_set():
            raise Unplugged
        if dict(poll.poll(20)).get(self.master, 0) & select.POLLHUP:
            time.sleep(0.02)
            return True
        # Whoever opens it throws away first what came before.
        time.sleep(0.3)
        return False

    def baud(self):
        """The rate of the line, as whoever opened it has set it."""
        return baud_of(self.master)


# Code, method, and whether only the stub knows it.
COMMANDS = {
    0x02: ("flash_begin", False),
    0x03: ("flash_data", False),
    0x04: ("flash_end", False),
    0x05: ("ram_begin", False),
    0x06: ("ram_end", False),
    0x07: ("ram_data", False),
    0x08: ("synchronise", False),
    0x09: ("write_register", False),
    0x0A: ("read_register", False),
    0x0B: ("nothing", True),
    0x0D: ("nothing", True),
    0x0F: ("change_baud", True),
    0x10: ("deflated_begin", True),
    0x11: ("deflated_data", True),
    0x12: ("flash_end", True),
    0x13: ("md5", True),
    0xD2: ("read_flash", True),
}

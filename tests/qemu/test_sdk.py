"""The stand-in of the vendor's SDK (firmware/virtual/sdk), by a small firmware with an IP stack of its own (firmware/virtual/guest)."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chip import FIRMWARE, FLASH_WINDOW, LIBRARIES, VIOLATION, Chip, link, rom_image, segments  # noqa: E402  (the path is set just above)

MEGABYTE = 1 << 20
# Where the guest's code executed in place lies, and the number of the case.
IROM = 0x10000
CASE = 0x40000

GUEST_MAC = bytes.fromhex("020000123456")
OWN_MAC = bytes.fromhex("020000abcdef")
GUEST_IP = bytes([10, 0, 0, 2])
OWN_IP = bytes([10, 0, 0, 1])
AIR = "other\t\t1\t-80\nspore\ta secret\t6\t-60\nspore\ta secret\t11\t-50\n"


def names(path):
    """The names in a list of symbols."""
    return [line for line in path.read_text().split("\n") if line and not line.startswith("#")]


def partial(library, exports, to):
    """Joins a staticlib to one object with only its exports seen from outside."""
    roots = [argument for name in exports for argument in ("-u", name)]
    whole = to.with_suffix(".whole.o")
    command = ["xtensa-lx106-elf-ld", "-r", "--gc-sections", "-e", exports[0], *roots, "-o", whole]
    subprocess.run([*command, FIRMWARE / "link/rom.ld", LIBRARIES / f"lib{library}.a"], check=True)
    keep = to.with_suffix(".exports")
    keep.write_text("\n".join(exports) + "\n")
    subprocess.run(["xtensa-lx106-elf-objcopy", f"--keep-global-symbols={keep}", whole, to], check=True)


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """rom.elf, and the flash that holds guest and SDK."""
    directory = tmp_path_factory.mktemp("sdk")
    packages = [argument for name in ("rom", "sdk", "guest") for argument in ("-p", f"spore-{name}")]
    subprocess.run(["cargo", "build", "--release", "--quiet", *packages], cwd=FIRMWARE, check=True)
    link("spore_rom", ["rom-standin.ld"], directory / "rom.elf")
    virtual = FIRMWARE / "virtual"
    partial("spore_sdk", names(virtual / "sdk/exports.txt"), directory / "sdk.o")
    partial("spore_guest", names(virtual / "guest/exports.txt"), directory / "guest.o")
    elf = directory / "guest.elf"
    command = ["xtensa-lx106-elf-ld", "--gc-sections", "--no-check-sections", "--no-warn-rwx-segments"]
    command += ["-T", virtual / "guest/link.ld", "-o", elf, "guest.o", "sdk.o", FIRMWARE / "link/rom.ld"]
    subprocess.run(command, cwd=directory, check=True)
    flash = bytearray(b"\xff" * MEGABYTE)
    _, loaded = segments(elf)
    image = rom_image(elf)
    assert len(image) <= IROM
    flash[: len(image)] = image
    for address, content in loaded:
        if address in FLASH_WINDOW:
            offset = address - FLASH_WINDOW[0]
            assert offset >= IROM and offset + len(content) <= CASE
            flash[offset : offset + len(content)] = content
    return directory, bytes(flash)


def symbols(elf):
    """Symbols of an object or a library that are seen from outside: those it has, those it lacks."""
    listing = subprocess.run(["readelf", "-sW", elf], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in listing.split("\n")]
    seen = [(row[6] != "UND", row[7]) for row in rows if len(row) == 8 and row[4] in ("GLOBAL", "WEAK")]
    return {name for has, name in seen if has}, {name for has, name in seen if not has}


class Wire:
    """The other end of a chip's Ethernet."""

    def __init__(self):
        # A short path: that of a socket has room for 107 bytes.
        self.directory = tempfile.TemporaryDirectory(prefix="wire")
        self.path = Path(self.directory.name) / "net.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(self.path))
        self.listener.listen()
        self.listener.settimeout(60)
        self.peer = None

    def accept(self):
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(60)

    def close(self):
        if self.peer:
            self.peer.close()
        self.listener.close()
        self.directory.cleanup()

    def send(self, frame, wait=True):
        """Sends a frame; with `wait` false only if there is room for all of it, else BlockingIOError."""
        data = struct.pack(">I", len(frame)) + frame
        if wait:
            self.peer.sendall(data)
        else:
            # A stream socket takes little things whole or not at all.
            self.peer.send(data, socket.MSG_DONTWAIT)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.peer.recv(count - len(data))
            assert more, "QEMU closed the wire"
            data += more
        return data

    def receive(self):
        (length,) = struct.unpack(">I", self.exactly(4))
        return self.exactly(length)


class Board(Chip):
    """A chip on a wire, in the air."""

    wire = None

    def command(self):
        command = super().command()
        if self.wire:
            place = command.index("-nic")
            net = f"stream,id=n0,server=off,addr.type=unix,addr.path={self.wire.path}"
            command[place : place + 2] = ["-netdev", net, "-net", "nic,netdev=n0,model=open_eth"]
        return command

    def air(self, text):
        (self.directory / "air.txt").write_text(text)


@pytest.fixture
def board(parts, tmp_path):
    """A board for a case, with a wire or without."""
    directory, flash = parts
    wires = []

    def make(case, wire=False, air=AIR):
        content = bytearray(flash)
        content[CASE : CASE + 4] = struct.pack("<I", case)
        # strict: the window of the flash is poisoned whenever the cache is off.
        made = Board(tmp_path, directory / "rom.elf", bytes(content), mac="02:00:00:12:34:56", strict=1)
        made.air(air)
        if wire:
            made.wire = Wire()
            wires.append(made.wire)
        return made

    yield make
    for wire in wires:
        wire.close()


@contextlib.contextmanager
def running(board):
    """The board's process, on its wire; ended at the end."""
    with board.start() as process:
        try:
            if board.wire:
                board.wire.accept()
            yield process
        finally:
            process.kill()


def arp_request():
    body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + OWN_MAC + OWN_IP + bytes(6) + GUEST_IP
    return b"\xff" * 6 + OWN_MAC + b"\x08\x06" + body


def udp(payload):
    datagram = struct.pack(">HHHH", 4000, 7, 8 + len(payload), 0) + payload
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + OWN_IP + GUEST_IP
    return GUEST_MAC + OWN_MAC + b"\x08\x00" + header + datagram


def test_symbols_are_those_listed(parts):
    directory, _ = parts
    has, lacks = symbols(directory / "sdk.o")
    of_the_linker = {"_bss_start", "_bss_end", "_heap_start"}
    assert lacks - of_the_linker == set(names(FIRMWARE / "virtual/sdk/imports.txt"))
    exported = set(names(FIRMWARE / "virtual/sdk/exports.txt"))
    assert exported <= has
    everything, _ = symbols(LIBRARIES / "libspore_sdk.a")
    public = {name for name in everything if name.startswith(("system_", "wifi_", "spi_flash_", "ets_timer_", "os_"))}
    assert public <= exported


def test_joins_and_answers(board):
    board = board(0, wire=True)
    with running(board):
        board.wait_for("got ip 0200000a status 5 rssi -50")
        for _ in range(3):
            board.wire.send(arp_request())
            answer = board.wire.receive()
            assert answer[:14] == OWN_MAC + GUEST_MAC + b"\x08\x06"
            assert answer[20:32] == b"\x00\x02" + GUEST_MAC + GUEST_IP
        for length in (0, 1, 100, 1471, 1472):
            payload = bytes(index & 0xFF for index in range(length))
            board.wire.send(udp(payload))
            answer = board.wire.receive()
            assert answer[:6] == OWN_MAC and answer[26:34] == GUEST_IP + OWN_IP
            assert answer[42 : 42 + length] == payload
        # Not for this board, and not for anybody it knows.
        board.wire.send(OWN_MAC + arp_request()[6:])
        board.wire.send(arp_request())
        assert board.wire.receive()[20:22] == b"\x00\x02"
    said = board.serial()
    assert said.index("lwip_init") < said.index("espconn_init") < said.index("done")
    assert "netif_add 0 flags b2 mtu 1500 ip 00000000" in said
    assert "connected spore channel 11" in said
    assert "freed" in said


def test_a_burst_longer_than_the_buffers_is_answered(board):
    board = board(0, wire=True)
    with running(board):
        board.wait_for("got ip")
        # The emulator may deliver them all before the chip runs: no more than the 56 of the ring that stands for the air.
        for _ in range(50):
            board.wire.send(arp_request())
        for _ in range(50):
            assert board.wire.receive()[20:22] == b"\x00\x02"
        # Far too many at once: some are lost, but the rest goes on.
        for _ in range(1000):
            board.wire.send(arp_request())
        for _ in range(50):
            assert board.wire.receive()[20:22] == b"\x00\x02"


def test_calls(board):
    board = board(1)
    assert board.run() == 0, board.serial()
    assert "format|text|-7|   42|42   |00042|beef|00C0FFEE|A|%|  a|9 10 11\n" in board.serial()
    assert "SDK ver: virtual\n" in board.serial() and "version virtual\n" in board.serial()


@pytest.mark.parametrize("case", [2, 3, 4, 6, 7], ids=["timers", "heap", "access point", "send early", "restart"])
def test_case(board, case):
    board = board(case)
    assert board.run() == 0, board.serial()


def test_heap_has_the_room_of_a_chip(board):
    board = board(3)
    assert board.run() == 0
    free = int(board.serial().split("\nfree ")[1].split("\n")[0])
    # The guest takes about 7 KB. The vendor's libraries leave 57 KB, and take 6 to 9 KB of them when they run.
    assert 40_000 < free < 48_000


def test_receive_buffers_are_few(board):
    board = board(5, wire=True)
    with running(board) as process:
        board.wait_for("got ip")
        for _ in range(12):
            board.wire.send(arp_request())
        board.wait_for("released")
        board.wire.send(arp_request())
        board.wait_for("held\n" * 8 + "released\nheld")
        assert process.poll() is None


def test_restart_says_why(board):
    board = board(7)
    assert board.run() == 0, board.serial()
    assert board.serial().count("rst cause:3") == 1
    assert "reset 0 cause 0" in board.serial() and "reset 4 cause 0" in board.serial()


def test_deep_sleep_and_the_analogue_input(board):
    board = board(16)
    (board.directory / "inputs.txt").write_text("adc=300\n")
    assert board.run() == 0, board.serial()
    assert board.serial().count("rst cause:5") == 1
    assert "reset 0 cause 0" in board.serial() and "reset 5 cause 0" in board.serial()


def test_hardware_address_made_up_stays(board):
    board = board(7)
    board.set()
    assert board.run() == 0, board.serial()
    mac = (board.directory / "mac").read_text()
    assert mac.startswith("02:00:00:") and len(mac) == 17
    assert board.run() == 0 and (board.directory / "mac").read_text() == mac


def test_exception_is_told_and_kept(board):
    board = board(8)
    with running(board):
        board.wait_for("reset 2 cause")
    said = board.serial()
    fatal = said.split("Fatal exception ")[1]
    cause = fatal.split("(")[0]
    epc1 = fatal.split("epc1=0x")[1][:8]
    assert "excvaddr=0x20000000" in fatal
    assert f"reset 2 cause {cause} epc1 {epc1}" in said and int(epc1, 16) in FLASH_WINDOW


def test_restart_under_fire(board):
    """Frames come all the time, also while the chip restarts with interrupts masked."""
    board = board(8, wire=True)
    with running(board):
        end = time.monotonic() + 60
        while "reset 2 cause" not in board.serial():
            assert time.monotonic() < end, board.serial()
            with contextlib.suppress(BlockingIOError):
                board.wire.send(arp_request(), wait=False)


def test_panic_is_told_and_kept(board):
    board = board(11)
    with running(board):
        board.wait_for("reset 2 cause 0")
    epc2 = board.serial().split("epc2=0x")[1][:8]
    assert int(epc2, 16) in FLASH_WINDOW
    assert f"epc2 {epc2}" in board.serial().split("rst cause:3")[1]


def test_soft_watchdog(board):
    board = board(9)
    with running(board):
        board.wait_for("reset 3 cause 0")
    epc1 = board.serial().split("Soft WDT reset\nepc1=0x")[1][:8]
    assert int(epc1, 16) in FLASH_WINDOW and f"epc1 {epc1}" in board.serial()


def test_hardware_watchdog(board):
    board = board(10)
    with running(board):
        board.wait_for("reset 1 cause 0")
    assert "rst cause:4" in board.serial() and "Soft WDT" not in board.serial()


def test_feeding_saves_from_the_watchdogs_and_slowness_is_told(board):
    board = board(12)
    with running(board):
        board.wait_for("SDK: the user task 0 ran 4")
    assert "WDT" not in board.serial() and board.serial().count("rst cause") == 1


def test_scan(board):
    board = board(13)
    with running(board):
        board.wait_for("found all")
    found = [line.split(" bssid")[0] for line in board.serial().split("\n") if line.startswith("found ")]
    assert found == [
        "found other length 5 channel 1 rssi -80 auth 0",
        "found spore length 5 channel 6 rssi -60 auth 3",
        "found spore length 5 channel 11 rssi -50 auth 3",
        "found all",
    ]


def test_wrong_password_then_right_one(board):
    board = board(0, air="spore\tanother secret\t6\t-60\n")
    with running(board):
        board.wait_for("disconnected spore reason 202 status 2")
        board.air(AIR)
        board.wait_for("got ip")


def test_no_access_point_then_one_then_none(board):
    board = board(0, air="other\t\t1\t-80\nbroken line\nspore\tx\n")
    with running(board):
        board.wait_for("disconnected spore reason 201 status 3")
        board.air(AIR)
        board.wait_for("got ip")
        board.air("")
        board.wait_for("disconnected spore reason 200")
        board.wait_for("netif_set_down\ndhcp_cleanup")
        board.air(AIR)
        end = time.monotonic() + 60
        while board.serial().count("got ip") < 2:
            assert time.monotonic() < end, board.serial()
            time.sleep(0.05)


def test_fixed_address(board):
    board = board(15)
    with running(board):
        board.wait_for("got ip 0900000a status 5")
    said = board.serial()
    assert "netif_set_addr 0900000a\nnetif_set_up" in said and "dhcp_start" not in said


def test_stored_configuration_is_used_at_the_next_start(board):
    board = board(14)
    with running(board):
        board.wait_for("second start of case 14")
        board.wait_for("got ip")


MISTAKES = {
    32: "returned null",
    33: "returned 0x40107f00, which is not data RAM",
    34: "type 0",
    35: "linkoutput with a chain",
    36: "linkoutput with 1 references",
    37: "not in one block of the heap",
    38: "not below 0x40000000",
    39: "are not all data RAM",
    40: "which is no receive buffer in use",
    41: "recycled twice",
    42: "linkoutput called with interrupts masked",
    43: "the user task 0 returned with interrupts masked",
    44: "the stack overflowed",
    45: "freed twice",
    46: "was written over its end",
    47: "was written while it was being sent",
    48: "after dhcp_start flags",
    49: "after netif_set_down flags",
    50: "ets_timer_arm_new on the armed timer",
    51: "ets_timer_setfn on the armed timer",
    52: "must be multiples of 4",
    53: "nothing can be read from flash while it is written",
    54: "while the cache was off",
    55: "user_rf_cal_sector_set returned 250",
    56: "netif_add did not store state",
    57: "linkoutput with eb",
    58: "the heap is damaged",
    59: "without a function",
    60: "system_adc_read called with interrupts masked",
}
# These need a frame that comes in.
NEED_A_FRAME = (32, 33, 41)


@pytest.mark.parametrize("case", MISTAKES, ids=MISTAKES.get)
def test_mistake_is_noticed(board, case):
    board = board(case, wire=case in NEED_A_FRAME)
    with running(board) as process:
        if case in NEED_A_FRAME:
            board.wait_for("got ip")
            board.wire.send(arp_request())
        if case == 49:
            board.wait_for("got ip")
            board.air("")
        assert process.wait(60) == VIOLATION, board.serial()
    line = board.serial().split("SPORE: contract of the SDK violated: ")[1].split("\n")[0]
    assert MISTAKES[case] in line

"""The stand-in of the ESP8266 and its ROM (firmware/virtual/rom), by a test program in its flash (firmware/virtual/probe)."""

import struct
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chip import BAD_BOARD, POWER_CUT, SECTOR, VIOLATION, Chip, build, rom_image  # noqa: E402  (the path is set just above)

MEGABYTE = 1 << 20
ERASED = b"\xff" * SECTOR
# Where the probe plays with the flash, and what it writes there.
PLACE = 0x20 * SECTOR
WORDS = struct.pack("<4I", 1, 2, 3, 0x80000000)

# For the cache: pages of code, each adding 1 to its argument in 1360 instructions (addi a2, a2, 1; addi a2, a2, 0; …; ret).
PAGE = (b"\x22\xc2\x01" + b"\x22\xc2\x00" * 1359 + b"\x80\x00\x00").ljust(SECTOR, b"\xff")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rom")
    build(directory)
    return directory


@pytest.fixture
def chip(built, tmp_path):
    """A chip whose flash holds the probe, for a case."""

    def make(case, size=MEGABYTE, **board):
        flash = bytearray(b"\xff" * size)
        image = rom_image(built / "probe.elf")
        assert len(image) <= 0x10000
        flash[: len(image)] = image
        flash[0x10000:0x10004] = struct.pack("<I", case)
        flash[0x11000:0x21000] = PAGE * 16
        flash[PLACE : PLACE + SECTOR] = bytes(SECTOR)
        return Chip(tmp_path, built / "rom.elf", bytes(flash), **board)

    return make


CASES = {
    2: "arithmetic",
    3: "strings",
    5: "interrupts and tasks",
    8: "cache",
    10: "exceptions",
    12: "flash",
    13: "exceptions by own vectors",
    14: "interrupts by own vectors",
    15: "window after changes",
    17: "interrupted ROM functions",
}


@pytest.mark.parametrize("case", CASES, ids=CASES.get)
def test_case(chip, case):
    board = chip(case)
    assert board.run() == 0, board.serial()


@pytest.mark.parametrize("strict", [0, 1])
def test_window_with_and_without_poison(chip, strict):
    board = chip(15, strict=strict)
    assert board.run() == 0, board.serial()


def test_boot_message_and_formats(chip):
    board = chip(1)
    assert board.run() == 0
    said = board.serial()
    assert "\n ets Jan  8 2013,rst cause:1, boot mode:(3,7)\n" in said
    assert "\ntext|-7|4000000000|beef|BEEF|A|%|1234\n" in said
    assert "\n00c0ffee|     -42|-42     |-0042|   ab|ab   |ab|   7\n" in said
    assert "\n1 2 3 4 5 6 7 8 -2147483648\n" in said


def test_restart_keeps_rtc_memory_only(chip):
    board = chip(4)
    assert board.run() == 0, board.serial()
    assert "rst cause:3" in board.serial()


def test_a_second_of_delay_takes_a_second(chip):
    board = chip(6)
    before = time.monotonic()
    assert board.run() == 0, board.serial()
    assert time.monotonic() - before >= 1


def test_watchdog_bites_who_does_not_feed_it(chip):
    board = chip(7)
    with board.start() as process:
        try:
            board.wait_for("hungry now")
            alive = int((board.directory / "alive").read_text())
            assert "rst cause:4" not in board.serial()
            assert process.wait(60) == 0, board.serial()
        finally:
            process.kill()
    assert "rst cause:4" in board.serial()
    assert int((board.directory / "alive").read_text()) > alive > 0


def test_heart_stands_still_while_interrupts_are_masked(chip):
    board = chip(16)
    with board.start() as process:
        try:
            board.wait_for("masked now")
            alive = (board.directory / "alive").read_text()
            time.sleep(2.5)
            assert (board.directory / "alive").read_text() == alive
            assert process.poll() is None
        finally:
            process.kill()


def test_services(chip):
    board = chip(11, mac="02:00:00:00:00:01")
    assert board.run() == 0, board.serial()
    assert (board.directory / "note").read_text() == "spores\n"


def test_reset_reason_of_the_board(chip):
    board = chip(1, reset=4)
    assert board.run() == 0
    assert "rst cause:4" in board.serial()
    board.set(reset="four")
    assert board.run() == BAD_BOARD


def test_pins_are_seen_and_set_from_outside(chip):
    board = chip(18, pins="pins.log")
    (board.directory / "inputs.txt").write_text("5=high\nadc=512\nnonsense\n99=high\n")
    assert board.run() == 0, board.serial()
    pins = (board.directory / "pins.txt").read_text().split("\n")
    pins = [line for line in pins if line]
    assert pins == ["GPIO4 output low", "GPIO5 input high", "GPIO12 open-drain low"]
    changes = [line.split()[1:] for line in (board.directory / "pins.log").read_text().splitlines()]
    # Drivers that are on, outputs that are high.
    assert changes == [
        ["0000", "0010"],
        ["0010", "0010"],
        ["0010", "0000"],
        ["0010", "0000"],
        ["1010", "1000"],
        ["1010", "0000"],
    ]


def test_a_timer_drives_a_pin_and_its_duty_is_seen(chip):
    board = chip(34, pins="pins.log")
    assert board.run() == 0, board.serial()
    name, kind, level, duty = (board.directory / "pins.txt").read_text().split()
    # A quarter; how much exactly depends on how busy the host is.
    assert (name, kind) == ("GPIO4", "output") and level in ("high", "low") and 0 < int(duty) < 100
    lines = [line.split() for line in (board.directory / "pins.log").read_text().splitlines()]
    times = [int(micros) for micros, *_ in lines]
    waits = [after - before for before, after in zip(times[1:], times[2:], strict=False)]
    assert len(waits) > 390 and min(waits[0::2]) >= 1000 and min(waits[1::2]) >= 3000


def test_deep_sleep_lasts_so_long_and_ends_with_a_reset(chip):
    board = chip(19)
    before = time.monotonic()
    assert board.run() == 0, board.serial()
    assert time.monotonic() - before >= 1.5
    assert "rst cause:5" in board.serial()
    assert (board.directory / "pins.txt").read_text().strip() == ""


VIOLATIONS = {
    20: "already programmed",
    21: "not multiples of 4",
    22: "past the end",
    23: "while the cache is on",
    24: "not in RAM",
    25: "run while the cache is off",
    26: "ROM address 0x40009818",
    27: "has no task",
    28: "interrupt 10 has no handler",
    31: "GPIO12, which is no pin",
    32: "GPIO6, a line of the flash",
    33: "mask 0x10000",
}


@pytest.mark.parametrize("case", VIOLATIONS, ids=VIOLATIONS.get)
def test_violation(chip, case):
    board = chip(case)
    assert board.run() == VIOLATION, board.serial()
    assert VIOLATIONS[case] in board.serial()


def test_trap_without_handler_resets(chip):
    board = chip(29)
    assert board.run() == 0, board.serial()
    assert "SPORE: break, cause 64" in board.serial()
    assert "rst cause:4" in board.serial()


def test_power_cut_at_each_operation(chip):
    done = []
    for cut in range(1, 6):
        board = chip(12, cut=cut)
        code = board.run()
        done.append((code, board.flash()[PLACE : PLACE + SECTOR]))
    half = SECTOR // 2
    written = WORDS + ERASED[16:]
    assert done == [
        (POWER_CUT, ERASED[:half] + bytes(half)),
        (POWER_CUT, WORDS[:8] + ERASED[8:]),
        (POWER_CUT, ERASED),
        (POWER_CUT, WORDS[:8] + ERASED[8:]),
        (0, written),
    ]


def test_programmed_words_are_known_after_a_power_cut(chip):
    board = chip(12, cut=2)
    assert board.run() == POWER_CUT
    flash = bytearray(board.flash())
    flash[0x10000:0x10004] = struct.pack("<I", 30)
    board = Chip(board.directory, board.rom, bytes(flash))
    assert board.run() == VIOLATION
    assert "already programmed" in board.serial()


def test_journal(chip):
    board = chip(12, journal="flash.log")
    assert board.run() == 0
    erased = struct.pack("<3I", 0, PLACE, SECTOR)
    programmed = struct.pack("<3I", 1, PLACE, 16) + WORDS
    assert (board.directory / "flash.log").read_bytes() == (erased + programmed) * 2


def test_larger_flash(chip):
    board = chip(8, size=4 * MEGABYTE)
    assert board.run() == 0, board.serial()


def test_bad_boards(chip):
    board = chip(1)
    flash = bytearray(board.flash())
    flash[20] ^= 1
    (board.directory / "flash.bin").write_bytes(flash)
    assert board.run() == BAD_BOARD
    assert "csum err" in board.serial()
    (board.directory / "flash.bin").write_bytes(ERASED * 256)
    assert board.run() == BAD_BOARD
    (board.directory / "flash.bin").write_bytes(ERASED)
    assert board.run() == BAD_BOARD
    (board.directory / "flash.bin").unlink()
    assert board.run() == BAD_BOARD

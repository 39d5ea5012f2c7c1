"""`spore monitor` on a pseudo-terminal."""

import json
import os
import re

TIME = r"\d\d:\d\d:\d\d\.\d\d\dZ  "


def test_lines_with_their_times_and_a_clean_end(board, monitor):
    running = monitor()
    board.say(b"esp_ab3412 version 1.2.0 slot a boot 1\r\nwifi connecting\r\nhalf")
    lines = running.lines(3)
    assert [re.fullmatch(TIME + "(.*)", line)[1] for line in lines] == [
        "esp_ab3412 version 1.2.0 slot a boot 1",
        "wifi connecting",
        "half",
    ]
    assert board.baud() == 115200
    assert running.end() == 0


def test_json(board, monitor):
    running = monitor("--json")
    board.say(b" ets Jan  8 2013,rst cause:4, boot mode:(3,6)\r\nplain\r\n")
    first, second = (json.loads(line) for line in running.lines(2))
    assert first["notes"] == ["reset by the hardware watchdog; starts from flash"]
    assert (second["line"], second["notes"], second["timeMs"] > 1_700_000_000_000) == ("plain", [], True)


def test_bytes_that_are_no_text(board, monitor):
    running = monitor("--no-timestamps")
    board.say(b"\xfe\x80\x00\xe0\x1b[2J\xffl\n")
    assert running.lines(1)[0] == r"\xfe\x80\x00\xe0\x1b[2J\xffl"
    running.told("74880")
    board.say(os.urandom(3000) + b"\nstill here\n")
    running.lines(2)
    board.say(b"done\n")
    assert running.end() == 0


def test_addresses_of_a_crash_are_looked_up(project, board, monitor, tmp_path):
    """The firmware's symbols and addr2line stand in: one is an empty file, the other tells what it was asked."""
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "xtensa-lx106-elf-addr2line"
    tool.write_text('#!/bin/sh\nfor last; do :; done\necho "asked_for_$last"\necho "/there/source.rs:7"\n')
    tool.chmod(0o755)
    (project.built / "firmware.elf").touch()
    running = monitor("--no-timestamps", path=tools)
    board.say(b"restarted: panic at 0x40212345 in task http\nfine at 0x40212345\nepc1=0x4028c345, excvaddr=0x00000010\n")
    lines = running.lines(5)
    assert lines == [
        "restarted: panic at 0x40212345 in task http",
        "-> 0x40212345 asked_for_0x40212345 at /there/source.rs:7",
        "fine at 0x40212345",
        "epc1=0x4028c345, excvaddr=0x00000010",
        # In slot B; the symbols are those of slot A, 0x7A000 lower.
        "-> 0x4028c345 asked_for_0x40212345 at /there/source.rs:7",
    ]


def test_the_adapter_is_unplugged_and_comes_back(board, monitor):
    running = monitor("--no-timestamps")
    board.say(b"before\n")
    running.lines(1)
    board.unplug()
    running.told("is gone")
    board.plug()
    board.say(b"after\n")
    assert running.lines(2) == ["before", "after"]
    running.told("there again")
    assert running.end() == 0


def test_from_the_roms_rate_to_the_logs(board, monitor):
    running = monitor("--rom", "--no-timestamps")
    board.say(b" ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n")
    assert running.lines(2)[1] == "-> reset by the pin, or woken from deep sleep; starts from flash"
    assert board.baud() == 74880
    # What 115,200 baud look like at 74,880.
    board.say(b"\xfe\x80\xe0\xfc\x80\n")
    running.told("now at 115200 baud")
    assert board.baud() == 115200
    board.say(b"esp_ab3412 version 1.2.0\n")
    assert running.lines(4)[-1] == "esp_ab3412 version 1.2.0"


def test_any_rate_and_no_line_for_a_reset(board, monitor):
    running = monitor("--baud", "74880", "--reset")
    running.told("no line to reset")
    assert board.baud() == 74880
    assert running.end() == 0

"""`spore flash` through the real esptool, into a chip on a pseudo-terminal that speaks as the ROM's loader and esptool's stub do."""

import json
import os
import signal
import struct
import subprocess
import zlib

import pytest
from chip import ESP32, Chip
from conftest import PASSWORD, RADIO, SSID
from harness import COMMAND
from image import SLOT, image

MODES = {"qio": 0, "qout": 1, "dio": 2, "dout": 3}
SIZES = {1: 0x20, 2: 0x30, 4: 0x40}
FOREIGN = bytes(range(255)) * 20000


@pytest.fixture
def chip(tmp_path):
    made = []

    def make(megabytes=1, flash=None, **options):
        flash = FOREIGN[: megabytes << 20] if flash is None else flash
        made.append(Chip(tmp_path, flash, **options))
        return made[-1]

    yield make
    for each in made:
        each.unplug()


def region(chip, start, end):
    return bytes(chip.flash[start:end])


def stored(ssid, password, hostname=None):
    """Settings as they begin in flash: version of the format, name if there is one, network, pass phrase (postcard)."""
    name = b"\0" if hostname is None else bytes([1, len(hostname)]) + hostname.encode()
    return b"\0" + name + bytes([len(ssid)]) + ssid.encode() + bytes([len(password)]) + password.encode()


def check_new(project, chip, mode="dout", untouched=FOREIGN):
    """A chip as it must be when everything was written; what belongs to nobody is as it was."""
    whole, size = chip.flash, len(chip.flash)
    header = bytes([0xE9, 1, MODES[mode], SIZES[size >> 20]])
    assert region(chip, 0, 0x2000) == (header + project.bootloader[4:]).ljust(0x2000, b"\xff")
    end = 0x2000 + len(project.image)
    assert region(chip, 0x2000, end) == project.image
    sector = (end + 4095) // 4096 * 4096
    assert region(chip, end, sector) == b"\xff" * (sector - end)
    assert region(chip, sector, 0x7C000) == untouched[sector:0x7C000]
    assert region(chip, 0x7C000, 0x7D000) == b"\xff" * 4096, "nothing in slot B may be started"
    # The boot record, docs/update.md: sequence 1, no starts, format 1, slot A, no trial.
    entry = region(chip, 0xF6000, 0xF6040)
    assert struct.unpack_from("<IIBBB", entry) == (1, 0, 1, 0, 0)
    assert struct.unpack_from("<I", entry, 60)[0] == zlib.crc32(entry[:60])
    assert region(chip, 0xF6040, 0xF8000) == b"\xff" * (0x2000 - 64)
    assert region(chip, 0xF8000, 0xFB000).count(b"\xff") > 8000
    sdk = size - 0x5000
    expected = b"\xff" * 0x1000 + RADIO.ljust(0x1000, b"\xff") + b"\xff" * 0x3000
    assert region(chip, sdk, size) == expected
    if size > 1 << 20:
        assert whole[0xFB000:sdk] == untouched[0xFB000:sdk]


@pytest.mark.parametrize(("megabytes", "mode"), [(1, "dout"), (2, "qio"), (4, "dio")])
def test_a_board_that_ran_something_else(project, chip, megabytes, mode):
    board = chip(megabytes)
    report = project.flash(board, "--mode", mode)
    check_new(project, board, mode)
    assert stored(SSID, PASSWORD) in region(board, 0xF8000, 0xFB000)
    assert (report["flashBytes"], report["settings"], report["ranSpore"]) == (megabytes << 20, "new", False)
    assert (report["ssid"], report["mac"]) == (SSID, "18:fe:34:ab:34:12")
    assert report["image"]["left"] == SLOT - len(project.image)
    assert "md5" in board.asked, "what was written was not read back"


def test_without_the_stub_the_rom_writes_alone(project, chip):
    """Slow on a real board, but the last resort; the ROM erases more than it is asked to, which must hit nothing."""
    board = chip()
    refused = project.spore("flash", "--port", str(board.path), "--no-stub", code=1)
    assert "--erase" in refused.stderr, "what cannot be read cannot be kept"
    project.flash(board, "--no-stub", "--erase")
    entry = region(board, 0xF6000, 0xF6040)
    assert struct.unpack_from("<I", entry, 60)[0] == zlib.crc32(entry[:60])
    assert region(board, 0, 64) == project.bootloader[:64]
    assert region(board, 0x2000, 0x2000 + len(project.image)) == project.image
    assert stored(SSID, PASSWORD) in region(board, 0xF8000, 0xFB000)
    assert region(board, 0xFC000, 0xFC080) == RADIO
    assert not {"ram_begin", "md5", "deflated_begin"} & set(board.asked)


def test_a_board_that_runs_spore_keeps_its_own(project, chip):
    board = chip()
    project.flash(board)
    board.unplug()
    # What the SDK has found out about the radio since, and an update in slot B.
    board.flash[0xFB000:0xFB100] = b"c" * 256
    board.flash[0xFD000:0xFD100] = b"s" * 256
    board.flash[0x7C000:0x7C100] = b"u" * 256
    before = bytes(board.flash)
    board.plug()
    project.image = image("1.3.0", board="esp8266", size=120_000, entry=0x40100010)
    (project.built / "firmware.spore").write_bytes(project.image)
    report = project.flash(board, "--baud", "460800", WIFI_SSID="another")
    assert (report["settings"], report["ranSpore"], report["ssid"]) == ("kept", True, SSID)
    assert "--wifi" in report["messages"], "that the network of .env was not taken must be said"
    assert region(board, 0x2000, 0x2000 + 120_000) == project.image
    assert region(board, 0xF8000, 1 << 20) == before[0xF8000:], "settings and the SDK's part"
    assert region(board, 0x7C000, 0xF6000) == before[0x7C000:0xF6000], "slot B"
    assert board.baud_changes == [460800]

    board.unplug()
    board.plug()
    report = project.flash(board, "--wifi", "--hostname", "kitchen", WIFI_SSID="another", WIFI_PASSWORD="12345678")
    assert (report["settings"], report["ssid"]) == ("changed", "another")
    assert stored("another", "12345678", "kitchen") in region(board, 0xF8000, 0xFB000)
    assert region(board, 0xFB000, 1 << 20) == before[0xFB000:]

    board.unplug()
    board.plug()
    untouched = bytes(board.flash)
    assert project.flash(board, "--erase")["settings"] == "new"
    check_new(project, board, untouched=untouched)
    assert b"another" not in region(board, 0xF8000, 0xFB000)


def test_without_credentials_the_board_is_told_so(project, chip):
    report = project.flash(chip(), WIFI_SSID="")
    assert (report["ssid"], report["settings"]) == (None, "new")


def test_the_first_lines_of_its_log(project, chip):
    board = chip(log=b"esp_ab3412 version 1.2.0 slot a boot 1\r\nwifi connecting serial test \r\n")
    words = ["flash", "--port", str(board.path)]
    done = project.spore(*words, WIFI_SSID=SSID, WIFI_PASSWORD=PASSWORD)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("board     ESP8266EX, 18:fe:34:ab:34:12, 1MB of flash")
    assert lines[1].startswith("image     spore 1.2.0, 150000 bytes; 349712 bytes of its slot are left")
    assert lines[2] == 'settings  new; joins "serial test"'
    assert "esp_ab3412 version 1.2.0 slot a boot 1" in lines[3:]
    assert "-> reset by the pin, or woken from deep sleep; starts from flash" in lines[3:]
    assert "flash: 100 %" in done.stderr, "progress goes to stderr"


def test_a_small_chip_is_refused(project, chip):
    board = chip(flash=FOREIGN[: 512 << 10])
    done = project.spore("flash", "--port", str(board.path), code=4)
    assert "512 KB" in done.stderr and "1 MB" in done.stderr
    assert board.flash == FOREIGN[: 512 << 10]


def test_a_chip_that_does_not_tell_its_size(project, chip):
    board = chip(flash_id=0xFFFFFF)
    assert "--size" in project.spore("flash", "--port", str(board.path), code=4).stderr
    board.unplug()
    board.plug()
    project.flash(board, "--size", "1M")
    check_new(project, board)


def test_more_than_the_chip_has_is_refused(project, chip):
    board = chip()
    assert "1 MB" in project.spore("flash", "--port", str(board.path), "--size", "4M", code=4).stderr
    assert board.flash == FOREIGN[: 1 << 20]


def test_another_processor_is_refused(project, chip):
    board = chip(magic=ESP32)
    assert "ESP32" in project.spore("flash", "--port", str(board.path), code=4).stderr


def test_a_silent_port(project, chip):
    board = chip(silent=True)
    done = project.spore("flash", "--json", "--port", str(board.path), code=3)
    error = json.loads(done.stderr.splitlines()[-1])
    assert error["exit"] == 3 and "GPIO0" in error["hint"]


def test_unplugged_while_writing_and_again(project, chip):
    board = chip(unplug_after=100_000)
    settings = {"WIFI_SSID": SSID, "WIFI_PASSWORD": PASSWORD}
    done = project.spore("flash", "--port", str(board.path), code=3, **settings)
    assert "broke off while writing" in done.stderr and "repeat the command" in done.stderr
    assert region(board, 0xF6000, 0xF8000) == FOREIGN[0xF6000:0xF8000], "the boot record comes last"
    broken = bytes(board.flash)
    board.unplug_after = None
    board.plug()
    report = project.flash(board)
    check_new(project, board, untouched=broken)
    assert not report["ranSpore"]


def test_interrupted_while_writing(project, chip, tmp_path):
    """Ctrl-C reaches esptool, too. The temporary files, with the pass phrase in one, are gone afterwards."""
    board = chip(stall_after=100_000)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = project.environment(WIFI_SSID=SSID, WIFI_PASSWORD=PASSWORD, TMPDIR=str(temporary))
    process = subprocess.Popen(
        [COMMAND, "flash", "--port", str(board.path)], cwd=project.folder, env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert board.stalled.wait(60)
    assert list(temporary.iterdir())
    os.killpg(process.pid, signal.SIGINT)
    out, messages = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "") and "interrupted" in messages
    assert not [name for name in temporary.iterdir() if name.name.startswith("spore-flash")]


def test_what_is_not_for_chips_is_refused_before_a_board_is_touched(project, chip):
    board = chip()
    for name, content, words in [
        ("virtual", image("1.2.0"), "virtual nodes"),
        ("emulator", image("1.2.0", board="esp8266-qemu", entry=0x40100010), "emulator"),
        ("large", image("1.2.0", board="esp8266", size=SLOT + 1, entry=0x40100010), "successor"),
        ("damaged", project.image[:-1] + b"x", "SHA-256"),
    ]:
        file = project.folder / name
        file.write_bytes(content)
        assert words in project.spore("flash", "--port", str(board.path), "--image", str(file), code=1).stderr
    (project.built / "chip.bin").write_bytes(b"\xff" * (1 << 20))
    assert "radio" in project.spore("flash", "--port", str(board.path), code=1).stderr
    (project.built / "bootloader.bin").unlink()
    assert "ESP8266_SDK_DIR" in project.spore("flash", "--port", str(board.path), code=1).stderr
    assert board.flash == FOREIGN[: 1 << 20]


def test_the_port_from_the_settings(project, chip):
    board = chip()
    (project.folder / ".env").write_text(f"SPORE_PORT={board.path}\nexport WIFI_SSID={SSID}\nWIFI_PASSWORD={PASSWORD!r}\n")
    done = project.spore("flash", "--no-wait")
    assert str(board.path) in done.stderr
    check_new(project, board)
    missing = project.spore("flash", "--port", "/nowhere/ttyUSB0", code=3).stderr
    assert "/nowhere/ttyUSB0" in missing and "plug" in missing

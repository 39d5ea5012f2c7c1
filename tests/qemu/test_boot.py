"""How the chip starts: the real bootloader chooses a slot, and the real firmware tells which and why."""

import pytest
from flash_content import HANG, RECORD, SECTOR, SLOTS, Image, entry, record, symbol, with_image, with_records

OLD, NEW = "0.1.0", "0.3.0"


@pytest.fixture(scope="session")
def old():
    return Image.built().sealed(OLD)


@pytest.fixture(scope="session")
def new():
    return Image.built().sealed(NEW)


@pytest.fixture
def both(home, old, new):
    """A flash with an image in each slot, which has started seven times from slot A."""
    flash = with_image(with_image(home.flash, "a", old), "b", new)
    return with_records(flash, entry(5, 6), entry(6, 7))


def flipped(flash, offset):
    flash = bytearray(flash)
    flash[offset] ^= 0x10
    return flash


def test_each_slot_runs_in_place(chip, both, old, new):
    for slot, version in (("a", OLD), ("b", NEW)):
        node = chip(with_records(both, entry(1, 41, slot)), name=slot).power_on()
        status = node.up(version=version, boot=42, resetReason="power on", lastUpdate=None)
        assert (status["image"]["slot"], status["image"]["state"]) == (slot, "confirmed")
        assert f"spore: slot {slot}\n" in node.serial()
        assert f"version {version} slot {slot} boot 42\n" in node.serial()


# Offsets in slot A's image.
DAMAGE = {"magic": 0, "board": 8, "version": 56, "header's checksum": 252, "first of the code": 0x1000, "last": -1}


@pytest.mark.parametrize("place", DAMAGE)
def test_damaged_image_is_not_started_and_that_is_told(chip, both, old, place):
    offset = DAMAGE[place] % len(old.data)
    node = chip(flipped(both, SLOTS["a"] + offset)).power_on()
    status = node.up(version=NEW, boot=8)
    assert (status["image"]["slot"], status["image"]["state"]) == ("b", "confirmed")
    version = None if place == "version" else OLD
    assert status["lastUpdate"] == {"version": version, "outcome": "reverted", "reason": "image damaged"}
    assert "spore: slot b\n" in node.serial()
    # It stays so.
    node.power_on()
    assert node.up(version=NEW, boot=9)["lastUpdate"]["reason"] == "image damaged"


def test_damaged_image_in_slot_b_is_noticed_with_relocations_undone(chip, both, new):
    word = new.relocations()[100]
    for offset in (word, 0x1000, len(new.data) - 1):
        flash = with_records(both, entry(1, 1, "b"))
        node = chip(flipped(flash, SLOTS["b"] + offset), name=hex(offset)).power_on()
        status = node.up(version=OLD, boot=2)
        assert status["lastUpdate"] == {"version": NEW, "outcome": "reverted", "reason": "image damaged"}


def test_without_a_record_whatever_is_whole_starts(chip, both, old):
    blank = with_records(both)
    node = chip(blank, name="a").power_on()
    status = node.up(version=OLD, boot=1, lastUpdate=None)
    assert status["image"]["slot"] == "a"
    assert record(node.flash())["boots"] == 1
    node = chip(flipped(blank, SLOTS["a"] + 0x1000), name="b").power_on()
    status = node.up(version=NEW, boot=1, lastUpdate=None)
    assert (status["image"]["slot"], status["image"]["state"]) == ("b", "confirmed")
    # Rubbish in both sectors is no record either.
    rubbish = bytearray(both)
    rubbish[RECORD : RECORD + 2 * SECTOR] = bytes(index * 7 & 0xFF for index in range(2 * SECTOR))
    assert chip(rubbish, name="rubbish").power_on().up(version=OLD, boot=1)["image"]["slot"] == "a"


@pytest.mark.parametrize("kept", [4, 32, 60])
def test_torn_entry_is_passed_over(chip, both, kept):
    """Of an entry that says "slot B" only the first bytes were programmed."""
    torn = entry(7, 8, "b")[:kept].ljust(64, b"\xff")
    flash = with_records(both, entry(5, 6), entry(6, 7), torn)
    node = chip(flash).power_on()
    assert node.up(version=OLD, boot=8)["image"]["slot"] == "a"
    after = node.flash()[RECORD:]
    assert after[128:192] == torn and record(node.flash())["sequence"] == 7
    assert after[192:256] == entry(7, 8)


def test_full_sector_makes_room_in_the_other(chip, both):
    log = [entry(number, number) for number in range(100, 164)]
    flash = bytearray(with_records(both, *log))
    flash[RECORD + SECTOR : RECORD + 2 * SECTOR] = b"\0" * SECTOR
    node = chip(flash).power_on()
    node.up(version=OLD, boot=164)
    after = node.flash()[RECORD : RECORD + 2 * SECTOR]
    assert after[:SECTOR] == b"".join(log)
    assert after[SECTOR:] == entry(164, 164).ljust(SECTOR, b"\xff")


# What both slots hold, and what the bootloader says about each.
NOTHING = {
    "erased": (None, "no image"),
    "damaged": (lambda image: image.patched(symbol("6launch7started"), HANG), "wrong SHA-256"),
    "other board": (lambda image: image.sealed(board="esp8266"), "other board"),
    "bad header": (lambda image: Image(bytes(image)[:255] + b"?" + bytes(image)[256:]), "bad header"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_without_an_image_it_says_why_and_waits_for_a_key(chip, home, both, old, case):
    change, reason = NOTHING[case]
    flash = bytearray(both)
    for slot, start in SLOTS.items():
        flash[start : start + 0x7A000] = b"\xff" * 0x7A000
        if change:
            flash = with_image(flash, slot, change(Image(bytes(old))))
    node = chip(flash).power_on()
    node.says("Any key: try again.\n")
    said = f"spore: no image to start\n slot a: {reason}\n slot b: {reason}\nFlash esp8266-qemu with GPIO0 low."
    assert said in node.serial()
    node.type("x")
    node.until(lambda: node.serial().count(said) == 2, 60, "it tries again")
    assert "rst cause:3" in node.serial()
    # Nothing was written: no start took place.
    assert node.flash() == bytes(flash)


def test_image_of_another_board_is_passed_over(chip, home, old):
    foreign = Image.built().sealed(NEW, board="esp8266")
    flash = with_image(with_image(home.flash, "a", old), "b", foreign)
    node = chip(with_records(flash, entry(1, 1, "b"))).power_on()
    status = node.up(version=OLD, boot=2)
    assert status["lastUpdate"]["reason"] == "image damaged"
    assert status["image"]["slot"] == "a"


REASONS = {0: "power on", 1: "power on", 2: "external reset", 3: "restart", 4: "watchdog", 5: "deep sleep"}


@pytest.mark.parametrize("reset", REASONS)
def test_reason_of_the_start_goes_through_rtc_memory(chip, both, reset):
    """Whatever RTC memory holds at power on: it is random here."""
    node = chip(both).power_on(**{"seed": 1000 + reset, "reset": reset})
    assert node.up(boot=8)["resetReason"] == REASONS[reset]
    node.node.post("/api/node/restart")
    node.says("boot 9\n")
    assert node.up(boot=9)["resetReason"] == "restart"


def test_trial_is_counted_before_it_runs(chip, both):
    flash = with_records(both, entry(6, 7), entry(7, 7, "b", trial=(0, 0), outcome=1, version=NEW))
    node = chip(flash).power_on()
    node.says(f"version {NEW} slot b boot 8 on trial\n")
    node.off()
    assert "spore: slot b, on trial\n" in node.serial()
    assert (record(node.flash())["boots"], record(node.flash())["trial"]) == (8, (1, 0))
    # Nobody has spoken to it; now somebody does.
    node.power_on()
    node.up(boot=9)
    status = node.confirmed(NEW)
    assert status["lastUpdate"] == {"version": NEW, "outcome": "confirmed", "reason": ""}
    assert record(node.flash())["trial"] is None


def test_tenth_start_without_confirmation_was_the_last(chip, both):
    flash = with_records(both, entry(6, 7), entry(7, 16, "b", trial=(9, 0), outcome=1, version=NEW))
    node = chip(flash).power_on()
    node.says(f"version {NEW} slot b boot 17 on trial\n")
    node.power_on()
    status = node.up(version=OLD, boot=18)
    assert status["lastUpdate"]["outcome"] == "reverted", status
    assert "10" in status["lastUpdate"]["reason"]


def test_larger_chip_starts_too(chip, home, both):
    for size in (2, 4):
        flash = bytearray(bytes(both)[:0xFB000].ljust(size << 20, b"\xff"))
        # The size as the ROM's header has it: who flashes a chip sets it.
        flash[3] = {2: 0x30, 4: 0x40}[size]
        node = chip(flash, name=f"{size} MB").power_on()
        status = node.up(version=OLD, boot=8)
        assert status["flashChipSize"] == size << 20
        assert status["hostname"] == home.config["hostname"]


def test_after_a_minute_without_an_image_it_tries_again(chip, home):
    flash = bytearray(home.flash)
    flash[0x2000:0xF6000] = b"\xff" * (0xF6000 - 0x2000)
    node = chip(flash)
    # The chip's time is counted in instructions, a microsecond each, and not waited for.
    node.arguments = ["-icount", "shift=10,sleep=off"]
    node.power_on()
    node.until(lambda: node.serial().count("no image to start") >= 2, 200, "it tries again")
    assert "rst cause:3" in node.serial()

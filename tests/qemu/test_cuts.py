"""A power cut at every flash operation of an update by the real firmware and bootloader: every board comes up again.

One update is done whole, and every erasure and every program order of it recorded. Then, for each of them, the flash is made that a
power cut in its middle leaves, and started by the real bootloader up to the firmware's first words, which hold a stored setting, the
hostname. A dozen of the cuts are done in the running node as well, which leaves the same flash, and the node is updated after them."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from chip import POWER_CUT, SECTOR
from emulated_node import EmulatedNode
from flash_content import CONFIG, RECORD, SLOT_BYTES, SLOTS, Image, entry, record, with_image, with_records
from power_cuts import Starter, flashes, half, journal, sectors, side_by_side

OLDER, OLD, NEW, NEWER = "0.0.9", "0.1.0", "0.9.0", "1.1.0"
LIVE_CUTS = 12


@dataclass
class Update:
    """An update that was not cut: the flash before it, all operations since power on, the flash after it."""

    before: bytes
    operations: list
    after: bytes
    image: Image


@pytest.fixture(scope="module")
def update(home, tmp_path_factory):
    """From slot A to slot B, which held an older image. The entry "trial" is the first in the record's other sector."""
    flash = with_image(home.flash, "a", Image.built().sealed(OLD))
    flash = with_image(flash, "b", Image.built().sealed(OLDER))
    flash = with_records(flash, *(entry(number, number, outcome=2, version=OLD) for number in range(65, 128)))
    flash[RECORD + SECTOR : RECORD + 2 * SECTOR] = b"".join(entry(number, number) for number in range(1, 65))
    image = Image.built().sealed(NEW)
    with EmulatedNode(tmp_path_factory.mktemp("update") / "chip", home, flash, journal="flash.log") as chip:
        chip.power_on()
        chip.up(version=OLD, boot=128)
        chip.update(image, "b")
        chip.confirmed(NEW)
        chip.off()
        operations = journal((chip.directory / "flash.log").read_bytes())
        return Update(bytes(flash), operations, chip.flash(), image)


def test_journal_tells_all_that_happened_to_the_flash(update):
    flash = bytearray(update.before)
    for operation in update.operations:
        operation.done(flash)
    assert flash == update.after
    b = SLOTS["b"]
    length = len(update.image.data)
    assert flash[b : b + length] == update.image.in_slot("b")
    erased = sectors(update.operations)
    assert erased == [*range(b, b + length, SECTOR), RECORD + SECTOR]
    written = [operation.offset for operation in update.operations if operation.programs]
    assert all(b <= offset < b + SLOT_BYTES or RECORD <= offset < CONFIG.start for offset in written)
    # The start, then the image's payload and its header, the trial, its start, its end.
    assert written[0] == RECORD + 63 * 64 and written[-4:] == [b, *range(RECORD + SECTOR, RECORD + SECTOR + 192, 64)]
    last = record(flash)
    assert (last["slot"], last["trial"], last["boots"], last["version"]) == ("b", None, 129, NEW)


def tears(operation):
    """Half of it; what decides (the header, the record) in four ways."""
    if operation.offset in (SLOTS["b"], *range(RECORD, CONFIG.start)):
        return [0, half(operation.length), operation.length - 4, operation.length]
    return [half(operation.length)]


VERSIONS = {"a": OLD, "b": NEW}
# What an update does not touch: bootloader and slot A, the settings, the SDK's sectors.
UNTOUCHED = [range(0, SLOTS["b"]), CONFIG, range(CONFIG.stop, 1 << 20)]
# The firmware's first words hold this.
UP = " version "


def check_start(starter, update, number, count, flash):
    """Starts a chip after a power cut, which left this flash: what the record says comes up, and nothing else is changed."""
    said, after = starter.start(flash, until=UP)
    what = f"cut after {count} bytes of operation {number}; serial line:\n{said}"
    was, now = record(flash), record(after)
    trial = " on trial" if was["trial"] is not None else ""
    assert f" keeper version {VERSIONS[was['slot']]} slot {was['slot']} boot {was['boots'] + 1}{trial}\n" in said, what
    assert said.count("rst cause") == 1, what
    # One more start is written down.
    counted = {"sequence": was["sequence"] + 1, "boots": was["boots"] + 1}
    if trial:
        counted["trial"] = (was["trial"][0] + 1, 0)
    assert now == was | counted, what
    for part in UNTOUCHED:
        assert after[part.start : part.stop] == update.before[part.start : part.stop], what
    slot = slice(SLOTS["b"], SLOTS["b"] + SLOT_BYTES)
    assert after[slot] == flash[slot], what
    return number, was["slot"]


def test_every_cut_leaves_a_board_that_starts(home, update, tmp_path, capsys, record_testsuite_property):
    begin = time.monotonic()
    jobs = flashes(update.before, update.operations, tears)
    results = side_by_side(tmp_path, home, jobs, lambda starter, *cut: check_start(starter, update, *cut))
    seconds = time.monotonic() - begin
    assert {number for number, _ in results} == set(range(1, len(update.operations) + 1))
    old = sum(slot == "a" for _, slot in results)
    text = (
        f"{len(update.operations):,} flash operations, {len(results):,} power cuts, all came up: "
        f"{old:,} with the old image, {len(results) - old:,} with the new one ({seconds:.0f} s)"
    )
    assert 0 < old < len(results), text
    record_testsuite_property("power cuts", text)
    with capsys.disabled():
        print(f"\n{text}")


def test_wrong_order_would_be_noticed(home, update, tmp_path):
    """The record before the image, and the power fails before the last of the image."""
    record_first = [*update.operations[:1], *update.operations[-4:-2], *update.operations[1:-5]]
    assert record_first[1].offset == RECORD + SECTOR and not record_first[1].programs
    cut = list(flashes(update.before, record_first, lambda operation: [half(operation.length)]))[-1]
    with pytest.raises(AssertionError, match="on trial"):
        check_start(Starter(tmp_path / "chip", home), update, *cut)


def live_cuts(operations):
    """Numbers of operations, evenly over the update, and all around its end, where it is decided."""
    last = len(operations)
    step = last // (LIVE_CUTS - 6)
    return sorted({1, 2, *range(step, last - 5, step), *range(last - 5, last + 1)})


def test_cuts_in_the_running_node_leave_the_same_and_it_is_updated_again(home, update, tmp_path, capsys):
    numbers = live_cuts(update.operations)
    assert len(numbers) >= LIVE_CUTS
    left = {number: flash for number, _, flash in flashes(update.before, update.operations, lambda op: [half(op.length)])
            if number in numbers}  # fmt: skip

    def cut(number):
        with EmulatedNode(tmp_path / str(number), home, update.before, cut=number, strict=0) as chip:
            chip.power_on()
            if number > 1:
                chip.up()
                # Where it fails depends on the cut; the last one needs somebody who asks, to be confirmed.
                with contextlib.suppress(OSError, AssertionError):
                    chip.update(update.image, "b")
                    chip.confirmed(NEW)
            assert chip.ended() == POWER_CUT, number
            assert chip.flash() == left[number], number
            assert f"the power fails in flash operation {number}\n" in chip.serial()
            chip.set(**home.board, strict=0)
            was = record(left[number])
            chip.power_on()
            before = chip.confirmed({"a": OLD, "b": NEW}[was["slot"]])
            assert before["boot"] == was["boots"] + 1, number
            other = "b" if was["slot"] == "a" else "a"
            chip.update(Image.built().sealed(NEWER), other)
            assert chip.confirmed(NEWER)["image"]["slot"] == other, number
            assert chip.flash()[CONFIG.start : CONFIG.stop] == home.flash[CONFIG.start : CONFIG.stop]
            return number

    begin = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(cut, numbers))
    with capsys.disabled():
        print(f"\n{len(done)} power cuts in the running node, each followed by an update ({time.monotonic() - begin:.0f} s)")


CHANGES = 60


def test_settings_are_old_or_new_after_every_cut(home, tmp_path, capsys, record_testsuite_property):
    """A setting is changed so often that its sectors come round, and the power fails in each flash operation of that."""
    with EmulatedNode(tmp_path / "chip", home, journal="flash.log", strict=0) as chip:
        chip.power_on()
        chip.up()
        log = chip.directory / "flash.log"
        # Much to store each time.
        chip.node.config(labels={f"label-{number}": "x" * 24 for number in range(4)})
        # How many operations there were when a change was answered.
        ends = [len(journal(log.read_bytes()))]
        for number in range(CHANGES):
            chip.node.config(hostname=f"name-{number}")
            ends.append(len(journal(log.read_bytes())))
        chip.off()
        operations = journal(log.read_bytes())
    assert len(set(ends)) == CHANGES + 1 and len(operations) == ends[-1]
    assert len({offset for offset in sectors(operations) if offset in CONFIG}) >= 2

    def start(starter, number, count, flash):
        said, after = starter.start(flash, until=UP)
        # Operation `number` belongs to this change, or to what was before the first.
        change = sum(number > end for end in ends) - 1
        names = [home.config["hostname"], *(f"name-{each}" for each in range(CHANGES))]
        possible = names[max(0, change) : change + 2]
        what = f"cut after {count} bytes of operation {number}, {possible}; serial line:\n{said}"
        told = [name for name in names if f" {name} version " in said]
        assert len(told) == 1 and told[0] in possible, what
        # Whatever is mended at a start lies where the settings do, but for the record of starts.
        for part in [range(0, RECORD), range(CONFIG.stop, len(flash))]:
            assert after[part.start : part.stop] == flash[part.start : part.stop], what
        return told[0]

    begin = time.monotonic()
    jobs = flashes(home.flash, operations, lambda operation: [half(operation.length)])
    results = side_by_side(tmp_path, home, jobs, start)
    assert len(set(results)) >= CHANGES
    text = (
        f"{len(operations)} flash operations of {CHANGES} changed settings, {len(results)} power cuts: "
        f"all came up with the old or the new ones ({time.monotonic() - begin:.0f} s)"
    )
    record_testsuite_property("power cuts in settings", text)
    with capsys.disabled():
        print(f"\n{text}")

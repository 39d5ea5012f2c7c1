"""An image that is moved to slot B is, byte for byte, the firmware linked for slot B (docs/image.md)."""

import struct
import subprocess

import pytest
from chip import FIRMWARE, segments
from flash_content import BUILT, DISTANCE, HEADER, SECTOR, TABLE, WINDOW_A, Image

CODE_A = WINDOW_A + SECTOR
CODE_B = CODE_A + DISTANCE


@pytest.fixture(scope="module")
def image():
    return Image.built()


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """Links what the build left, as the build did (crates/spore/src/cmd/build/link.rs), for a place in flash: its segments by address."""

    def link(origin):
        directory = tmp_path_factory.mktemp("link")
        script = (FIRMWARE / "link/app.ld").read_text()
        ours = f"ORIGIN = {CODE_A:#x}"
        assert script.count(ours) == 1
        (directory / "app.ld").write_text(script.replace(ours, f"ORIGIN = {origin:#x}"))
        work = BUILT / "link"
        command = ["xtensa-lx106-elf-ld", "-q", "--gc-sections", "--no-check-sections", "--no-warn-rwx-segments", "-nostdlib"]
        command += ["-L", work, "-T", "app.ld", "-o", "app.elf", FIRMWARE / "link/rom.ld", work / "app.o", work / "sdk.o"]
        subprocess.run(command, cwd=directory, check=True)
        return segments(directory / "app.elf")

    return {"a": link(CODE_A), "b": link(CODE_B)}


def of_image(image, slot, data):
    """What lies at which address when the image runs from a slot: code, segments of RAM."""
    rows = image.segments()
    end = min(offset for _, offset, _ in rows)
    code = {"a": CODE_A, "b": CODE_B}[slot]
    found = {code: data[HEADER + TABLE : end]}
    return found | {address: data[offset : offset + length] for address, offset, length in rows}


def padded(parts):
    return {address: content + bytes(-len(content) % 4) for address, content in parts if content}


@pytest.mark.parametrize("slot", ["a", "b"])
def test_moved_image_is_the_one_linked_for_the_slot(image, linked, slot):
    entry, parts = linked[slot]
    assert entry == image.word(88)
    assert padded(parts) == of_image(image, slot, image.in_slot(slot))


def test_relocations_are_the_words_that_differ_no_more_no_less(image, linked):
    moved = bytearray(image.data)
    code = image.place(CODE_A)
    for address, content in linked["b"][1]:
        offset = code if address == CODE_B else image.place(address)
        moved[offset : offset + len(content)] = content
    differ = [at for at in range(0, len(moved) & ~3, 4) if moved[at : at + 4] != image.data[at : at + 4]]
    assert differ == image.relocations()
    assert all(struct.unpack_from("<I", moved, at)[0] == image.word(at) + DISTANCE for at in differ)
    assert len(differ) > 1000
    assert image.in_slot("b") == moved
    # One that is missing, and one that is a word further, are noticed.
    assert image.in_slot("b", differ[:7] + differ[8:]) != moved
    assert image.in_slot("b", [at + 4 * (at == differ[7]) for at in differ]) != moved

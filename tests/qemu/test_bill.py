"""docs/memory.md keeps the bill of this firmware."""

import re

from flash_content import BUILT, ROOT

# The compiler orders and inlines a little otherwise in another folder, because the names of crates outside of firmware/ hold their
# path; hence `spore build --check-bill`, which compares every line, is for the machine on which the bill was saved.
LEEWAY = {"instruction RAM": 32, "data RAM": 128, "image in its slot": 1024, "bootloader": 64}


def used(text):
    """The first column of the bill's first table."""
    rows = re.findall(r"^(\S.*?) {2,}([0-9,]+)  ", text, re.MULTILINE)
    return {name: int(number.replace(",", "")) for name, number in rows if name in LEEWAY}


def test_bill_in_the_documentation_is_this_firmwares():
    bill = used((BUILT / "bill.txt").read_text())
    kept = used((ROOT / "docs" / "memory.md").read_text())
    assert set(bill) == set(kept) == set(LEEWAY)
    apart = {name: (kept[name], bill[name]) for name in LEEWAY if abs(kept[name] - bill[name]) > LEEWAY[name]}
    assert not apart, f"run `./ctl.sh build --save-bill` and commit docs/memory.md: {apart}"

"""What takes a while because the firmware waits: done beside the other tests, which see to the outcome later."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

from emulated_node import EmulatedNode
from flash_content import CONFIG, HANG, PANIC, RETURN, Image, symbol, with_records

# The version of all that do not work, and what is done to them: (parts of) a function's name, and what it does instead.
BAD = "6.6.6"
BROKEN = {
    "panic at once": (("user_init",), PANIC),
    "panic": (("6launch7started",), PANIC),
    "hang at once": (("user_init",), HANG),
    "hang": (("6launch7started",), HANG),
    # The radio is never told to join.
    "no network": (("9WifiRadio", "5Radio7command"), RETURN),
    # What is received is forgotten.
    "deaf": (("ethernet_input",), RETURN),
}


def broken(kind):
    """An image that does not work, whole and well sealed."""
    function, code = BROKEN[kind]
    return Image.built().patched(symbol(*function), code).sealed(BAD)


@contextlib.contextmanager
def begun(home, folder):
    """Begins all of it; what each comes to can be waited for by its name. Few at a time: those that hang use a whole core. What
    nobody waits for any more is switched off."""
    pool = ThreadPoolExecutor(3)
    chips = {kind: EmulatedNode(folder / kind, home, with_records(home.flash)) for kind in BROKEN}
    order = sorted(BROKEN, key=lambda kind: kind not in ("no network", "deaf"))
    try:
        yield {kind: pool.submit(rollback, chips[kind], kind) for kind in order}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for chip in chips.values():
            chip.off()
        pool.shutdown()


def rollback(chip, kind):
    """An update to an image that does not work: what is there before and after it, and the serial line."""
    with chip:
        before = chip.power_on().up()
        settings = chip.flash()[CONFIG.start : CONFIG.stop]
        chip.update(broken(kind), "b")
        chip.until(lambda: chip.starts("a") == 2, 200, "it comes back")
        after = chip.up()
        return before, settings, after, chip.node.get("/api/node/config"), chip.flash(), chip.serial()

"""Updates over the air to images that do not work, crashes, and the watchdog: the real firmware with its machine code changed."""

import contextlib
import time

import pytest
from flash_content import CONFIG, HANG, PANIC, Image, entry, record, symbol, with_image, with_records
from long_waits import BAD, BROKEN, broken

# movi a2, 0; s32i a2, a2, 0. On the chip this is exception 29, store prohibited; the emulated bus reports an address error.
STORE_TO_NOWHERE = b"\x22\xa0\x00\x22\x62\x00"


@pytest.fixture(scope="module", autouse=True)
def early(long_waits):
    """Waiting begins with the first test of this file, or earlier."""


def lasting(status):
    """What of a status does not change while a node only runs."""
    return {key: value for key, value in status.items() if key not in ("uptime", "freeHeap")}


def refusal(node, body):
    """The answer to an upload. A node that refuses hangs up, and the answer may be lost with the rest of the body; a connection that
    was refused lingers a while, too."""
    for _ in range(20):
        with contextlib.suppress(ConnectionError):
            return node.node.patient(lambda: node.node.upload(body))
        time.sleep(0.5)
    raise AssertionError("no answer")


def test_other_firmware_is_refused_and_the_node_runs_on(chip):
    node = chip().power_on()
    before = node.up()
    good = Image.built().sealed("0.2.0")
    damaged = bytearray(bytes(good))
    damaged[0x20000] ^= 1
    refused = {
        "SHA-256": (bytes(damaged), 422),
        "board": (bytes(Image.built().sealed(board="esp8266")), 422),
        "magic": (b"\x7fELF" + bytes(good)[4:], 422),
        "too short": (bytes(good)[:-100], 400),
        "too long": (bytes(good) + b"more", 400),
    }
    for what, (body, status) in refused.items():
        answer = refusal(node, body)
        assert (answer.status, bool(answer.error)) == (status, True), (what, answer)
        assert lasting(node.up()) == lasting(before), what
    # None of it stands in the way of a good one.
    node.update(good, "b")
    status = node.confirmed("0.2.0")
    assert (status["boot"], status["image"]["slot"]) == (before["boot"] + 1, "b")
    assert node.node.get("/api/node/config")["labels"] == {"shelf": "7"}


CRASHES = {
    "panic": (PANIC, "panic at {at} in task http"),
    "store to nowhere": (STORE_TO_NOWHERE, "exception 15 (address error on load or store) at {behind} accessing 0x00000000 in task http"),
    "hang": (HANG, "watchdog at {at} in task http"),
}


@pytest.mark.parametrize("kind", CRASHES)
def test_crash_of_a_working_node_is_told_after_it(chip, kind, home):
    """In a service's handler, asked for over HTTP; no update is open, so that the image stays."""
    code, words = CRASHES[kind]
    at = symbol("5hello", "6handle")
    flash = bytearray(home.flash)
    image = bytes(Image.built().patched(at, code).sealed())
    flash[0x2000 : 0x2000 + len(image)] = image
    node = chip(flash).power_on()
    before = node.up()
    with pytest.raises(OSError):
        node.node.request("GET", "/api/hello", timeout=20)
    node.says(f"boot {before['boot'] + 1}\n")
    after = node.up()
    expected = words.format(at=f"{at:#010x}", behind=f"{at + 3:#010x}")
    assert after["resetReason"] == expected
    assert after["boot"] == before["boot"] + 1
    assert (after["image"], after["lastUpdate"]) == (before["image"], None)
    assert node.flash()[CONFIG.start : CONFIG.stop] == flash[CONFIG.start : CONFIG.stop]


def test_three_quick_crashes_lead_to_safe_mode_and_an_update_out_of_it(chip, home):
    image = Image.built().patched(symbol("5hello", "6handle"), PANIC).sealed()
    node = chip(with_image(home.flash, "a", image)).power_on()
    before = node.up()
    assert before["safeMode"] is False
    for crashes in range(1, 4):
        with pytest.raises(OSError):
            node.node.request("GET", "/api/hello", timeout=20)
        status = node.up(boot=before["boot"] + crashes)
        assert (status["safeMode"], status["resetReason"][:8]) == (crashes == 3, "panic at")
    node.says("safe mode: no services until a restart; quick crashes: 3")
    assert status["image"] == before["image"]
    # What crashed is not there, and what every node has is.
    assert node.node.request("GET", "/api/hello", timeout=20).status == 404
    assert node.node.get("/api/node/config")["labels"] == {"shelf": "7"}
    # A restart would do as well; the next crash does not.
    node.update(Image.built().sealed("0.2.0"), "b")
    status = node.confirmed("0.2.0")
    assert status["safeMode"] is False
    assert node.node.request("GET", "/api/hello", timeout=20).status == 200
    # Power off forgets, and the reset reason with it.
    node.power_on()
    status = node.up()
    assert (status["safeMode"], status["resetReason"]) == (False, "power on")


@pytest.mark.parametrize("kind", sorted(BROKEN, key=lambda kind: kind in ("no network", "deaf")))
def test_node_goes_back_from_an_image_that_does_not_work(long_waits, kind):
    before, settings, after, config, flash, serial = long_waits[kind].result(timeout=400)
    crashes = kind not in ("no network", "deaf")
    # Three starts of the new one, or one until its deadline; then the old one.
    starts = 3 if crashes else 1
    assert after["boot"] == before["boot"] + starts + 1, serial
    reason = "crashed or hung 3 times" if crashes else "trial deadline passed"
    assert after["lastUpdate"] == {"version": BAD, "outcome": "reverted", "reason": reason}
    assert after["image"] == before["image"]
    assert serial.count("spore: slot b, on trial\n") == starts
    # Nothing is lost, and the record says it as the node does.
    assert flash[CONFIG.start : CONFIG.stop] == settings
    assert (config["hostname"], config["labels"], config["wifiPassphraseSet"]) == ("keeper", {"shelf": "7"}, True)
    last = record(flash)
    assert (last["slot"], last["trial"], last["outcome"], last["version"]) == ("a", None, 3, BAD)
    assert last["reason"] == ((1, 3) if crashes else (2, 0))
    if not crashes:
        assert after["resetReason"] == "trial failed"


def test_power_cut_does_not_save_an_image_that_hangs(chip, home):
    """After power on the chip's watchdog is off, and only the SDK would switch it on, which the image never lets it."""
    flash = with_image(home.flash, "b", broken("hang at once"))
    flash = with_records(flash, entry(7, 7, "b", trial=(2, 2), outcome=1, version=BAD))
    node = chip(flash).power_on()
    node.until(lambda: node.starts("a") == 1, 60, "it goes back")
    status = node.up(boot=9)
    assert status["lastUpdate"] == {"version": BAD, "outcome": "reverted", "reason": "crashed or hung 3 times"}

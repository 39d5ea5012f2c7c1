"""Firmware updates over HTTP: what is installed, what is refused, and what comes of images that do not work."""

import socket
import subprocess
import threading

import pytest
from harness import wait_until
from image import SLOT, flipped, image, sha256_of


def running(node):
    """What must not change when an upload is refused."""
    status = node.status()
    update = node.get("/api/node/update")
    return status["image"], status["boot"], status["lastUpdate"], update["state"], update["slots"]


def confirmed(node, version):
    """Waits until the node runs this version and has confirmed it."""

    def check():
        now = node.status()["image"]
        return (now["version"], now["state"]) == (version, "confirmed") and node.status()

    return wait_until(check, 90, f"{node} has confirmed {version}")


def reverted(node, version):
    """Waits until the node has gone back from this version, and returns what it tells about it."""

    def check():
        last = node.status()["lastUpdate"]
        return last and (last["version"], last["outcome"]) == (version, "reverted") and last

    return wait_until(check, 180, f"{node} has gone back from {version}")


def test_a_good_image_is_confirmed(nodes):
    node = nodes[0]
    before = node.status()
    new = image("2.0.0")
    with node.events() as subscriber:
        answer = node.upload(new)
        assert answer.status == 200, answer
        body = answer.json
        other = "b" if before["image"]["slot"] == "a" else "a"
        assert (body["success"], body["version"], body["sha256"]) == (True, "2.0.0", sha256_of(new))
        assert (body["slot"], body["size"]) == (other, len(new))
        assert subscriber.wait_for("update_progress")
    after = confirmed(node, "2.0.0")
    assert after["image"]["slot"] == other
    assert after["image"]["sha256"] == sha256_of(new)
    assert after["boot"] == before["boot"] + 1
    assert after["lastUpdate"]["outcome"] == "confirmed" and after["lastUpdate"]["version"] == "2.0.0"
    # And stays after a restart.
    node.post("/api/node/restart")
    wait_until(lambda: node.status()["boot"] == before["boot"] + 2, 30, "it restarts")
    assert node.status()["image"]["version"] == "2.0.0"
    # The others learn the new version.
    wait_until(lambda: nodes[1].members()[node.hostname]["version"] == "2.0.0", 30, "the version is seen elsewhere")


def test_curl_uploads_a_form(lab, nodes):
    """`curl -F`, any field name, other fields before it."""
    node = nodes[0]
    new = image("2.1.0", size=150000)
    path = lab.folder / "form.spore"
    path.write_bytes(new)
    host, port = node.address
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", "-F", "comment=a note", "-F", f"anything=@{path}",
         f"http://{host}:{port}/api/node/update"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sha256_of(new) in done.stdout, done.stdout
    assert confirmed(node, "2.1.0")["image"]["sha256"] == sha256_of(new)


@pytest.mark.parametrize("act", ["crash", "hang", "no-network"])
def test_an_image_that_does_not_work_is_left(nodes, act):
    """The node goes back by itself to what it ran, and tells why."""
    node = nodes[["crash", "hang", "no-network"].index(act) + 1]
    before = node.status()
    answer = node.upload(image("3.0.0", act))
    assert answer.status == 200, answer
    last = reverted(node, "3.0.0")
    assert last["reason"], "it tells why"
    after = node.status()
    assert after["image"] == before["image"] | {"state": "confirmed"}
    # It can be updated again.
    answer = node.upload(image("3.0.1"))
    assert answer.status == 200, answer
    confirmed(node, "3.0.1")


NEW = image("4.0.0", size=60000)
REFUSED = {
    "empty": (b"", 400),
    "header cut short": (NEW[:100], 400),
    "header only": (NEW[:256], 400),
    "payload cut short": (NEW[:-1], 400),
    "wrong magic": (image("4.0.0", magic=b"SPAM"), 422),
    "another kind of file": (b"\x7fELF" + bytes(5000), 422),
    "foreign board": (image("4.0.0", board="esp32"), 422),
    "large and foreign": (image("4.0.0", board="esp32", size=400000), 422),
    "bit wrong in the header": (flipped(NEW, 60), 422),
    "bit wrong in the first sector": (flipped(NEW, 300), 422),
    "bit wrong at the end": (flipped(NEW, len(NEW) - 1), 422),
    "larger than the slot": (image("4.0.0", size=SLOT + 4096), 413),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_uploads_are_refused(nodes, kind):
    node = nodes[4]
    body, status = REFUSED[kind]
    before = running(node)
    answer = node.patient(lambda: node.upload(body))
    assert answer.status == status, answer
    assert answer.error
    # The free slot may hold rubbish now, or nothing: what runs, and what is told of it, has not changed.
    after = running(node)
    assert after[:4] == before[:4]


def test_more_bytes_than_the_image_are_refused_or_ignored(nodes):
    """Trailing bytes are no part of the image; they must not be installed silently as another one."""
    node = nodes[4]
    before = running(node)
    answer = node.upload(NEW + b"trailing")
    assert answer.status in (400, 413, 422) and answer.error, answer
    assert running(node)[:4] == before[:4]


def test_a_broken_off_upload_changes_nothing(nodes):
    node = nodes[4]
    before = running(node)
    with node.raw() as connection:
        head = f"POST /api/node/update HTTP/1.1\r\nHost: x\r\nContent-Length: {len(NEW)}\r\n\r\n"
        connection.sendall(head.encode() + NEW[: len(NEW) // 2])
    wait_until(lambda: running(node)[:4] == before[:4], 30, "nothing has changed, and no upload is open")
    # And another upload is possible.
    wait_until(lambda: node.upload(image("4.1.0", board="esp32", size=600)).status == 422, 30, "an upload is judged again")


def test_of_two_uploads_at_once_one_is_refused(nodes):
    node = nodes[4]
    before = running(node)
    body = image("4.2.0", size=200000)
    head = f"POST /api/node/update HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with node.raw() as first:
        first.sendall(head + body[:50000])
        wait_until(lambda: node.get("/api/node/update")["state"] == "receiving", 20, "the first upload runs")
        progress = node.get("/api/node/update")
        assert progress["size"] == len(body) and 0 < progress["received"] <= 50000
        answer = node.upload(body)
        assert answer.status == 409 and answer.error, answer
    wait_until(lambda: running(node)[:4] == before[:4], 30, "the first was broken off, nothing has changed")


@pytest.mark.parametrize("operation", [1, 2, 7, 20])
def test_power_fails_during_an_update(lab, nodes, operation):
    """At this flash operation of the installation the power is cut: the node comes back with what it ran."""
    node = nodes[2]
    before = node.status()
    lab.spore("lab", "power-cut", node.hostname, "--at-flash-op", str(operation))
    try:
        answer = node.upload(image("6.0.0", size=100000), timeout=20)
        assert answer.status != 200, answer
    except OSError:
        pass  # the connection died with the node
    after = wait_until(lambda: (s := node.status())["boot"] > before["boot"] and s, 60, "it starts again")
    assert after["image"] == before["image"] | {"state": "confirmed"}
    assert node.get("/api/node/update")["state"] == "idle"


def test_the_node_answers_while_it_is_updated(nodes):
    """A slow upload does not stop the node: it is asked all the while, and stays ACTIVE for the others."""
    node = nodes[1]
    body = image("7.0.0", board="esp32", size=120000)
    answers = []

    def ask():
        while not done.wait(0.2):
            answers.append(node.status()["boot"])

    done = threading.Event()
    asker = threading.Thread(target=ask)
    asker.start()
    try:
        with node.raw() as connection:
            head = f"POST /api/node/update HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode())
            try:
                for start in range(0, len(body), 10000):
                    connection.sendall(body[start : start + 10000])
                    done.wait(0.2)
                assert connection.recv(100).startswith(b"HTTP/1.1 422")
            except (ConnectionError, socket.timeout):
                pass  # refused by its header, long before the end
    finally:
        done.set()
        asker.join()
    assert len(answers) > 0 and len(set(answers)) == 1
    assert nodes[0].sees(node) == "ACTIVE"

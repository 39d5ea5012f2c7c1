"""A lab of virtual nodes for tests: started in a state folder of its own, driven through the command line as a user does."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import websocket

ROOT = Path(__file__).resolve().parent.parent
# The network of every lab here; a pass phrase that no answer and no log may hold.
SSID = "spore test"
PASSPHRASE = "a pass phrase for tests 4711"
# The built command if the caller knows it (ctl/test.sh sets it), else the front door, which builds it first.
COMMAND = os.environ.get("SPORE") or str(ROOT / "ctl.sh")


def wait_until(condition, seconds, what):
    """Calls `condition` until it answers something true, and returns that. Refused connections count as not yet."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError, LookupError) as error:
            last = repr(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {last!r}")
        time.sleep(0.1)


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The sentence of an error answer; fails if it is not one."""
        body = self.json
        assert set(body) == {"error"} and body["error"], body
        return body["error"]


class Node:
    """One node of a lab, reached over its port on the loopback."""

    def __init__(self, lab, facts):
        self.lab = lab
        self.hostname = facts["hostname"]
        self.ip = facts["ip"]
        host, port = facts["local"].rsplit(":", 1)
        self.address = (host, int(port))

    def __repr__(self):
        return f"{self.hostname} ({self.ip})"

    @property
    def facts(self):
        """The node as the lab sees it from outside, now."""
        return next(node for node in self.lab.status()["nodes"] if node["hostname"] == self.hostname)

    def request(self, method, path, body=None, headers=None, timeout=20):
        """One request on a connection of its own. An answer that breaks off is an OSError like any lost connection."""
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def get(self, path):
        """GET that must be answered 200 with JSON, and returns it. A busy node (503) is asked again."""
        answer = self.patient(lambda: self.request("GET", path))
        assert answer.status == 200, (path, answer)
        assert answer.headers["content-type"].startswith("application/json")
        return answer.json

    def post(self, path, _json=False, **params):
        """POST of a form, or of JSON with `_json=True`; the answer as it comes."""
        if _json:
            body, kind = json.dumps(params), "application/json"
        else:
            body, kind = urllib.parse.urlencode(params), "application/x-www-form-urlencoded"
        return self.patient(lambda: self.request("POST", path, body, {"Content-Type": kind}))

    def patient(self, ask, status=lambda answer: answer.status):
        """Asks again while the node says that it is busy."""
        deadline = time.monotonic() + 10
        while status(answer := ask()) == 503 and time.monotonic() < deadline:
            time.sleep(0.2)
        return answer

    def upload(self, image, timeout=60):
        """Posts bytes as a raw firmware image."""
        return self.request(
            "POST", "/api/node/update", image, {"Content-Type": "application/octet-stream"}, timeout=timeout
        )

    def raw(self, timeout=20):
        """A bare TCP connection to the node's port 80."""
        return socket.create_connection(self.address, timeout=timeout)

    def members(self):
        """The member list by hostname."""
        return {member["hostname"]: member for member in self.get("/api/cluster/members")["members"]}

    def sees(self, other):
        """The status this node gives another, or None if it does not know it."""
        member = self.members().get(other.hostname)
        return member and member["status"]

    def status(self):
        return self.get("/api/node/status")

    def config(self, **changes):
        """Changes settings; fails unless they are accepted."""
        answer = self.post("/api/node/config", _json=True, **changes)
        assert answer.status == 200, answer
        return answer.json

    def events(self):
        """Subscribes to the node's events."""
        return Events(self)

    def log(self, lines=200):
        """The end of the node's log."""
        return self.lab.spore("lab", "log", self.hostname, "--lines", str(lines)).stdout


class Events:
    """A WebSocket subscriber to a node's events."""

    def __init__(self, node):
        host, port = node.address
        self.socket = websocket.create_connection(f"ws://{host}:{port}/ws", timeout=20)
        # A subscriber sees what happens after it is in; a first order and its answer make sure that it is.
        self.heard = []

    def send(self, event, payload):
        """Fires an event through the WebSocket and returns the node's answer."""
        self.socket.send(json.dumps({"event": event, "payload": payload}))
        while True:
            message = json.loads(self.socket.recv())
            if "event" not in message:
                return message
            self.heard.append(message)

    def raw(self, text):
        """Sends any text and returns the next answer that is not an event."""
        self.socket.send(text)
        while True:
            message = json.loads(self.socket.recv())
            if "event" not in message:
                return message
            self.heard.append(message)

    def collect(self, seconds):
        """Listens for so long, and returns everything heard since the start."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                message = json.loads(self.socket.recv())
            except websocket.WebSocketTimeoutException:
                break
            if "event" in message:
                self.heard.append(message)
        return self.heard

    def named(self, name):
        """Payloads heard so far of the events of one name."""
        return [message["payload"] for message in self.heard if message["event"] == name]

    def wait_for(self, name, seconds=20):
        """Listens until an event of this name was heard, and returns its payload."""
        deadline = time.monotonic() + seconds
        while not self.named(name):
            self.socket.settimeout(max(0.05, deadline - time.monotonic()))
            try:
                message = json.loads(self.socket.recv())
            except websocket.WebSocketTimeoutException:
                raise AssertionError(f"no event '{name}' within {seconds} s; heard {self.heard}") from None
            if "event" in message:
                self.heard.append(message)
        return self.named(name)[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Lab:
    """A running lab. Use as a context manager: it is stopped, and its state removed, at the end."""

    def __init__(self, nodes=5, *arguments):
        self.folder = Path(tempfile.mkdtemp(prefix="spore-test-"))
        # Whatever the user has set up must not reach the tests, nor the tests the user's lab.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name != "API_NODE" and not name.startswith("SPORE_")
        } | {
            "SPORE_STATE": str(self.folder / "state"),
            "SPORE_BROADCAST": "off",
            "WIFI_SSID": SSID,
            "WIFI_PASSWORD": PASSPHRASE,
            "NO_COLOR": "1",
        }
        self.arguments = ["--nodes", str(nodes), "--port-base", str(free_ports(nodes + 4)), *arguments]
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        """Starts the lab; the command returns when every node sees every other."""
        self.spore("up", "--detach", *self.arguments, timeout=120)

    def spore(self, *arguments, check=True, timeout=60, stdin=None):
        """Runs the command in the lab's world. With `check`, it must succeed."""
        done = subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check:
            assert done.returncode == 0, f"spore {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def status(self):
        return json.loads(self.spore("lab", "status", "--json").stdout)

    @property
    def nodes(self):
        """All nodes, in the order they were added."""
        return [Node(self, facts) for facts in self.status()["nodes"]]

    def settle(self, seconds=60):
        """Ends every fault, starts what is dark, and waits until everybody sees everybody."""
        self.spore("lab", "heal")
        for facts in self.status()["nodes"]:
            if facts["state"] != "running":
                self.spore("lab", "restart", facts["hostname"])
        wait_until(lambda: self.status()["converged"], seconds, "everybody sees everybody")
        return self.nodes

    def stop(self):
        with contextlib.suppress(Exception):
            self.spore("down", check=False, timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def free_ports(count):
    """The first of `count` TCP ports in a row that are free on the loopback."""
    for first in range(20000 + os.getpid() % 97 * 100, 60000, 100):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", port))))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")

"""A node of C++ SPORE, imitated: what one of its generations says and hears, in plain Python.

Written from what is publicly known of C++ SPORE, and from nothing of this repository's code, so that both can be wrong in
different ways. Generations, by the months in which they were current:

- `discovery` (August 2025): broadcasts CLUSTER_DISCOVERY every second, answers it with CLUSTER_RESPONSE:<hostname>, asks every
  member for GET /api/node/status every 10 s, and serves the same with its endpoints in it.
- `sync` (24 September): also broadcasts CLUSTER_HEARTBEAT:<hostname> every 5 s and answers it with
  CLUSTER_NODE_INFO:<hostname>:<json>; asks nobody over HTTP.
- `events` (28 September): also CLUSTER_EVENT:<json> to the broadcast address of the subnet, and RAW:<hex>.
- `heartbeat` (19 October): no discovery; CLUSTER_HEARTBEAT:<hostname> every 5 s, answered with NODE_UPDATE:<hostname>:<json>,
  which is also broadcast every 5 s; events as before.

Runs alone too: `python3 text_peer.py heartbeat 10.4.0.201 esp_00c0de 10.4.255.255` prints what it hears.
"""

import http.client
import http.server
import json
import select
import socket
import sys
import threading
import time

PORT = 4210
GENERATIONS = ("discovery", "sync", "events", "heartbeat")


class TextPeer:
    """One node, on an address of this machine. `start` it, `stop` it; `silent` makes it neither speak nor answer."""

    def __init__(self, generation, ip, hostname, broadcast):
        assert generation in GENERATIONS
        self.generation = generation
        self.ip = ip
        self.hostname = hostname
        self.broadcast = broadcast
        self.silent = False
        # What C++ SPORE tells of itself; the figures are those of an ESP-01.
        self.resources = {
            "freeHeap": 48748,
            "chipId": int(hostname.split("_")[1], 16),
            "sdkVersion": "2.2.2-dev(38a443e)",
            "cpuFreqMHz": 80,
            "flashChipSize": 1048576,
        }
        self.endpoints = [
            {"uri": "/api/node/status", "method": "GET"},
            {"uri": "/api/cluster/members", "method": "GET"},
            {"uri": "/api/neopattern", "method": "POST"},
        ]
        self.labels = {"app": "neopattern"}
        # By hostname: {"ip", "lastSeen", "latency", "resources", "api"}; times in seconds of this machine's clock.
        self.table = {}
        # (name, data) of every CLUSTER_EVENT heard from others, in order; (hex digits) of every RAW.
        self.events = []
        self.raw = []
        # Every datagram heard: (sender's address, text).
        self.heard = []
        self.started = time.monotonic()
        self.heartbeat_sent = 0.0
        self.running = True
        self.threads = []

    # --- life -----------------------------------------------------------------------------------------------------------

    def start(self):
        # Linux hands broadcasts only to sockets bound to the broadcast address or to any, and several nodes share this
        # machine: so one socket for each address a datagram may be sent to.
        self.sockets = [self._socket(address) for address in (self.ip, self.broadcast, "255.255.255.255")]
        self.server = _Server((self.ip, 80), self)
        self._thread(self._listen)
        self._thread(self.server.serve_forever)
        if self.generation == "heartbeat":
            self._thread(self._every, 5.0, self._heartbeat)
            self._thread(self._every, 5.0, self._announce)
        else:
            self._thread(self._every, 1.0, self._discover)
            if self.generation == "discovery":
                self._thread(self._every, 10.0, self._ask_members)
            else:
                self._thread(self._every, 5.0, self._heartbeat)
        return self

    def stop(self):
        self.running = False
        self.server.shutdown()
        self.server.server_close()
        for thread in self.threads:
            thread.join(15)
        for each in self.sockets:
            each.close()

    def _socket(self, address):
        each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        each.bind((address, PORT))
        return each

    def _thread(self, run, *arguments):
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)

    def _every(self, seconds, task):
        while self.running:
            if not self.silent:
                task()
            until = time.monotonic() + seconds
            while self.running and time.monotonic() < until:
                time.sleep(0.05)

    # --- saying ---------------------------------------------------------------------------------------------------------

    def send(self, address, text):
        if not self.silent:
            self.sockets[0].sendto(text.encode(), (address, PORT))

    def _discover(self):
        self.send("255.255.255.255", "CLUSTER_DISCOVERY")

    def _heartbeat(self):
        self.heartbeat_sent = time.monotonic()
        self.send("255.255.255.255", f"CLUSTER_HEARTBEAT:{self.hostname}")

    def _announce(self):
        self.send("255.255.255.255", f"NODE_UPDATE:{self.hostname}:{json.dumps(self._update())}")

    def _update(self):
        uptime = int((time.monotonic() - self.started) * 1000)
        return {"hostname": self.hostname, "ip": self.ip, "uptime": uptime, "labels": self.labels}

    def fire_cluster(self, event, data):
        """What `cluster/broadcast` does since 28 September."""
        assert self.generation in ("events", "heartbeat")
        self.send(self.broadcast, "CLUSTER_EVENT:" + json.dumps({"event": event, "data": data}))

    def stream(self, address, digits):
        """What LEDLab sends."""
        self.send(address, "RAW:" + digits)

    # --- hearing --------------------------------------------------------------------------------------------------------

    def _listen(self):
        while self.running:
            for each in select.select(self.sockets, [], [], 0.1)[0]:
                datagram, (address, _) = each.recvfrom(2048)
                if self.silent or address == self.ip:
                    continue
                text = datagram.decode(errors="replace")
                self.heard.append((address, text))
                self._hear(address, text)

    def _hear(self, address, text):
        keyword, _, rest = text.partition(":")
        discovers = self.generation != "heartbeat"
        if text == "CLUSTER_DISCOVERY" and discovers:
            self.send(address, f"CLUSTER_RESPONSE:{self.hostname}")
        elif keyword == "CLUSTER_RESPONSE" and discovers:
            self._see(rest, address)
        elif keyword == "CLUSTER_HEARTBEAT" and self.generation == "heartbeat":
            self.send(address, f"NODE_UPDATE:{self.hostname}:{json.dumps(self._update())}")
        elif keyword == "CLUSTER_HEARTBEAT" and self.generation in ("sync", "events"):
            details = json.dumps(self.resources | {"labels": self.labels})
            self.send(address, f"CLUSTER_NODE_INFO:{self.hostname}:{details}")
        elif keyword == "CLUSTER_NODE_INFO" and self.generation in ("sync", "events"):
            hostname, _, body = rest.partition(":")
            details = json.loads(body)
            member = self._see(hostname, address)
            member["latency"] = (time.monotonic() - self.heartbeat_sent) * 1000
            member["labels"] = details.pop("labels", {})
            member["resources"] = details
        elif keyword == "NODE_UPDATE" and self.generation == "heartbeat":
            hostname, _, body = rest.partition(":")
            details = json.loads(body)
            self._see(hostname, address)["labels"] = details.get("labels", {})
        elif keyword == "CLUSTER_EVENT" and self.generation in ("events", "heartbeat"):
            message = json.loads(rest)
            self.events.append((message["event"], message["data"]))
        elif keyword == "RAW" and self.generation in ("events", "heartbeat"):
            self.raw.append(rest)

    def _see(self, hostname, address):
        member = self.table.setdefault(hostname, {"latency": 0.0, "resources": {}, "api": [], "labels": {}})
        member["ip"] = address
        member["lastSeen"] = time.monotonic()
        return member

    def state_of(self, hostname):
        """ACTIVE, INACTIVE or DEAD by the rule of C++ SPORE; None for a node never heard of."""
        if hostname not in self.table:
            return None
        age = time.monotonic() - self.table[hostname]["lastSeen"]
        return "ACTIVE" if age < 10 else "INACTIVE" if age < 60 else "DEAD"

    # --- HTTP -----------------------------------------------------------------------------------------------------------

    def _ask_members(self):
        for hostname, member in list(self.table.items()):
            asked = time.monotonic()
            connection = http.client.HTTPConnection(member["ip"], 80, timeout=5, source_address=(self.ip, 0))
            try:
                connection.request("GET", "/api/node/status")
                body = json.loads(connection.getresponse().read())
            except (OSError, http.client.HTTPException, ValueError):
                continue
            finally:
                connection.close()
            member = self._see(hostname, member["ip"])
            member["latency"] = (time.monotonic() - asked) * 1000
            member["resources"] = {key: body[key] for key in self.resources}
            member["api"] = body.get("api", [])

    def page(self, path):
        """The body of a GET, or None: the endpoints this generation has."""
        if path == "/api/node/status":
            # From 24 September the endpoints are at a path of their own.
            return self.resources | ({"api": self.endpoints} if self.generation == "discovery" else {})
        if path == "/api/node/endpoints" and self.generation != "discovery":
            return {"endpoints": self.endpoints}
        if path == "/api/cluster/members":
            members = [
                {
                    "hostname": hostname,
                    "ip": member["ip"],
                    "lastSeen": int((member["lastSeen"] - self.started) * 1000),
                    "latency": int(member["latency"]),
                    "status": self.state_of(hostname),
                    "resources": member["resources"],
                    "api": member["api"],
                }
                for hostname, member in self.table.items()
            ]
            return {"members": members}
        return None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, peer):
        self.peer = peer
        super().__init__(address, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.server.peer.silent:
            self.close_connection = True
            return
        body = self.server.peer.page(self.path)
        text = json.dumps(body).encode() if body is not None else b"Not found"
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Type", "application/json" if body is not None else "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    peer = TextPeer(*sys.argv[1:]).start()
    printed = 0
    while True:
        time.sleep(0.2)
        for address, text in peer.heard[printed:]:
            print(address, text, flush=True)
            printed += 1

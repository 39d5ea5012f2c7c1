#!/usr/bin/env python3
"""A stand-in for a node: serves the page and answers its requests as docs/api.md says. Standard library only.

It exists to develop the page and to test what a live lab cannot show: 254 members, hostile names, an update that is
reverted. An image whose first bytes are `BAD` is refused with 422; one that contains `REVERT` goes back after its trial.
`POST /mock/name?ip=…&hostname=…` renames a member.
"""

import argparse
import base64
import gzip
import hashlib
import json
import random
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

PAGE = Path(__file__).resolve().parents[2] / "crates/spore-node/page/index.html"
WIFI_PAGE = PAGE.with_name("wifi.html")
HOSTILE = "<img src=x onerror=window.xss=1>"


def param(name, required=True, kind="string", values=None, location="body"):
    entry = {"name": name, "location": location, "required": required, "type": kind}
    return entry | ({"values": values} if values else {})


def endpoint(uri, method="GET", service="node", *params):
    return {"uri": uri, "method": method, "service": service, "params": list(params)}


ENDPOINTS = [
    endpoint("/api/node/status"),
    endpoint("/api/node/endpoints"),
    endpoint("/api/node/config"),
    endpoint("/api/node/update"),
    endpoint("/api/node/update", "POST"),
    endpoint("/api/node/restart", "POST"),
    endpoint("/api/node/event", "POST", "node", param("event"), param("data", False)),
    endpoint("/ws"),
    endpoint("/api/tasks/status", "GET", "tasks"),
    endpoint("/api/tasks/control", "POST", "tasks", param("task"),
             param("action", True, "string", ["enable", "disable", "start", "stop", "status", "set"]),
             param("interval", False, "integer")),
    endpoint("/api/network/status", "GET", "network"),
    endpoint("/api/network/wifi/scan", "GET", "network"),
    endpoint("/api/network/wifi/scan", "POST", "network"),
    endpoint("/api/network/wifi/config", "POST", "network", param("ssid"), param("password", False)),
    endpoint("/api/monitoring/resources", "GET", "monitoring"),
    endpoint("/api/cluster/members", "GET", "cluster"),
    endpoint("/api/cluster/services", "GET", "cluster", param("uri", False, location="query"),
             param("label", False, location="query")),
    endpoint("/api/cluster/event", "POST", "cluster", param("event"), param("data", False)),
    endpoint("/api/relay", "GET", "relay"),
    endpoint("/api/relay", "POST", "relay", param("state", True, "string", ["on", "off", "toggle"])),
]


class Refusal(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Node:
    """All state of the mock; one lock guards it."""

    def __init__(self, members, hostile, page):
        self.lock = threading.RLock()
        self.page = gzip.compress(page.read_bytes()) if page.suffix != ".gz" else page.read_bytes()
        self.born = time.monotonic() - 7384
        self.boot = 7
        self.safe_mode = False
        self.down_until = 0.0
        self.sockets = set()
        # Requests being answered, WebSockets included, and the most there ever were.
        self.open = self.most_open = 0
        self.relay = "off"
        self.events = 0
        self.scan_until = 0.0
        # How the WiFi differs from that of a connected node, and what was chosen last.
        self.wifi = {}
        self.chosen = None
        self.delay = 0.0
        self.update = {"state": "idle", "received": 0, "size": 0}
        self.slots = {"a": ("confirmed", "1.2.0"), "b": ("empty", None)}
        self.image = {"slot": "a", "state": "confirmed", "name": "spore", "version": "1.2.0",
                      "sha256": hashlib.sha256(b"first").hexdigest()}
        self.last_update = None
        self.config = {
            "hostname": "esp_3f9ec1", "wifiSsid": "spore-lab", "wifiPassphraseSet": True, "wifiConnectTimeoutMs": 15000,
            "wifiRetryDelayMs": 500, "discoveryIntervalMs": 1000, "listenIntervalMs": 100, "heartbeatIntervalMs": 2000,
            "statusIntervalMs": 1000, "memberInfoIntervalMs": 10000, "debugIntervalMs": 5000, "inactiveAfterMs": 10000,
            "deadAfterMs": 60000, "labels": {"app": "spore", "role": "relay"},
        }
        self.tasks = {
            name: {"name": name, "interval": every, "enabled": True, "running": True, "autoStart": True, "runs": 0,
                   "lastMicros": random.randint(8, 90), "maxMicros": random.randint(90, 400)}
            for name, every in [("discovery_send", 1000), ("discovery_listen", 100), ("heartbeat", 2000),
                                ("status_update", 1000), ("member_info", 10000), ("debug_output", 5000),
                                ("relay.blink", 500)]
        }
        self.names = {}
        self.members = members
        self.hostile = hostile

    def uptime(self):
        return int((time.monotonic() - self.born) * 1000)

    def member_list(self):
        rng, up, out = random.Random(4), self.uptime(), []
        for i in range(self.members):
            ip = f"10.4.{(i + 11) // 256}.{(i + 11) % 256}"
            chip = 0x3F9EC1 if i == 0 else rng.randrange(1 << 24)
            status, age = "ACTIVE", rng.randrange(200, 4000)
            draw = rng.random()
            if i and draw < 0.04:
                status, age = "DEAD", 75000 + up % 60000
            elif i and draw < 0.10:
                status, age = "INACTIVE", 10000 + (up + i * 777) % 48000
            role = ["relay", "sensor", "sensor", "gateway"][i % 4]
            text = i % 17 == 5
            name = self.config["hostname"] or "esp_3f9ec1" if i == 0 else f"esp_{chip:06x}"
            labels = {} if text else {"app": "spore", "role": role}
            if self.hostile and i == 2:
                name, labels = HOSTILE, {"<b>x": HOSTILE}
            if i == 0:
                age, labels = 0, self.config["labels"]
            out.append({
                "hostname": self.names.get(ip, name), "ip": ip, "lastSeen": up - age,
                "latency": 0 if i == 0 else rng.randrange(2, 40), "status": status,
                "resources": {"freeHeap": 36000 + rng.randrange(9000) + (up // 500 * 7919 + i * 31) % 600, "chipId": chip,
                              "sdkVersion": "spore-virtual 0.1.0", "cpuFreqMHz": 80, "flashChipSize": 1048576},
                "api": [{"uri": e["uri"], "method": e["method"]} for e in ENDPOINTS[-2:]],
                "age": age, "self": i == 0, "kind": "text" if text else "rust",
                "version": "" if text else self.image["version"] if i == 0 else ["1.2.0", "1.2.0", "1.1.4"][i % 3],
                "board": "" if text else "virtual", "labels": labels, "catalogue": "5c0ffee5"})
        return out

    def fire(self, name, payload):
        frame = json.dumps({"event": name, "payload": payload}).encode()
        with self.lock:
            for send in list(self.sockets):
                try:
                    send(frame)
                except OSError:
                    self.sockets.discard(send)

    def restart(self, seconds):
        with self.lock:
            self.boot += 1
            self.down_until = time.monotonic() + seconds
            self.born = self.down_until
            for send in list(self.sockets):
                send(None)
            self.sockets.clear()

    def install(self, body):
        if body[:3] == b"BAD":
            raise Refusal(422, "not a SPORE image: the first bytes are wrong; build one with ./ctl.sh build")
        old, digest = self.image, hashlib.sha256(body).hexdigest()
        revert = b"REVERT" in body
        slot = "b" if old["slot"] == "a" else "a"
        new = {"slot": slot, "state": "trial", "name": "spore", "version": "1.3.0", "sha256": digest}

        def life():
            time.sleep(0.4)
            with self.lock:
                self.image = new
                self.slots[slot] = ("trial", "1.3.0")
                self.last_update = {"version": "1.3.0", "outcome": "pending", "reason": None}
                self.update["state"] = "idle"
            self.restart(1.2)
            time.sleep(3.5)
            with self.lock:
                if revert:
                    self.image = old
                    self.slots[slot] = ("reverted", "1.3.0")
                    self.last_update = {"version": "1.3.0", "outcome": "reverted", "reason": "crashed or hung 3 times"}
                else:
                    new["state"] = "confirmed"
                    self.slots[slot] = ("confirmed", "1.3.0")
                    self.last_update = {"version": "1.3.0", "outcome": "confirmed", "reason": None}
            if revert:
                self.restart(1.0)
            self.fire("update_finished", json.dumps(self.last_update))

        self.update["state"] = "restarting"
        threading.Thread(target=life, daemon=True).start()
        return {"success": True, "message": f"installed into slot {slot}, restarting", "version": "1.3.0",
                "sha256": digest, "size": len(body), "slot": slot}


NODE = None


def node_status():
    return {"freeHeap": 41000, "chipId": 4169409, "sdkVersion": "spore-virtual 0.1.0", "cpuFreqMHz": 80,
            "flashChipSize": 1048576, "hostname": NODE.config["hostname"] or "esp_3f9ec1", "ip": "10.4.0.11",
            "board": "virtual", "version": NODE.image["version"], "uptime": NODE.uptime(), "boot": NODE.boot,
            "resetReason": "power on", "safeMode": NODE.safe_mode, "security": "open", "image": NODE.image, "lastUpdate": NODE.last_update,
            "labels": NODE.config["labels"], "catalogue": "5c0ffee5",
            "api": [{"uri": e["uri"], "method": e["method"]} for e in ENDPOINTS]}


def update_state():
    slots = [{"slot": s, "state": state, "version": version} for s, (state, version) in sorted(NODE.slots.items())]
    return NODE.update | {"slots": slots, "lastUpdate": NODE.last_update}


def network_status():
    return {"hostname": NODE.config["hostname"],
            "wifi": {"mode": "STA", "state": "connected", "connected": True, "ssid": NODE.config["wifiSsid"], "rssi": -50,
                     "channel": 6, "bssid": "02:00:00:00:00:01", "attempts": 0, "retryInMs": None, "lastError": None,
                     "lastDisconnect": None} | NODE.wifi,
            "ip": "10.4.0.11", "netmask": "255.255.255.0", "gateway": "10.4.0.1", "dns": "10.4.0.1",
            "mac": "5c:cf:7f:3f:9e:c1",
            "accessPoint": {"active": False, "ssid": "spore-3f9ec1", "ip": "192.168.4.1", "clients": 0}}


def resources():
    use = 1 + 2 * random.random()
    up = NODE.uptime()
    return {"cpu": {"current_usage": use, "average_usage": 1.6, "max_usage": 3.1, "min_usage": 0.4,
                    "measurement_count": 120, "is_measuring": True},
            "memory": {"free_heap": 41000, "total_heap": 81920, "min_free_heap": 0, "max_alloc_heap": 0,
                       "heap_fragmentation": 0, "heap_usage_percent": 50.0},
            "filesystem": {"total_bytes": 12288, "used_bytes": 512, "free_bytes": 11776, "usage_percent": 4.2},
            "system": {"uptime_ms": up, "uptime_seconds": up // 1000, "uptime_formatted": ""}}


def task_status():
    for task in NODE.tasks.values():
        task["runs"] = NODE.uptime() // task["interval"] if task["enabled"] else task["runs"]
    on = sum(t["enabled"] for t in NODE.tasks.values())
    return {"summary": {"totalTasks": len(NODE.tasks), "activeTasks": on}, "tasks": list(NODE.tasks.values()),
            "system": {"freeHeap": 41000, "uptime": NODE.uptime()}}


def scan_state():
    names = ["spore-lab", "neighbour", "cafe", HOSTILE] if NODE.hostile else ["spore-lab", "neighbour", "cafe"]
    found = [{"ssid": s, "bssid": f"02:00:00:00:00:0{i}", "rssi": -50 - 9 * i, "channel": 6, "secured": i != 2}
             for i, s in enumerate(names)]
    return {"scanning": time.monotonic() < NODE.scan_until, "networks": found}


def services(q):
    members = NODE.member_list()
    if "label" in q:
        key, _, value = q["label"].partition("=")
        members = [m for m in members if m["labels"].get(key) == value]
    nodes = [{k: m[k] for k in ("hostname", "ip", "status")} for m in members]
    hits = [e for e in ENDPOINTS if q.get("uri", e["uri"]) == e["uri"]]
    return {"services": [{"uri": e["uri"], "method": e["method"], "nodes": nodes} for e in hits] if nodes else []}


def post_config(q):
    changed = json.loads(json.dumps(NODE.config))
    for key, value in q.items():
        if key.startswith("label."):
            changed["labels"].pop(key[6:], None)
            if value:
                changed["labels"][key[6:]] = value
        elif isinstance(changed.get(key), int):
            if not value.isdigit() or int(value) < 10:
                raise Refusal(422, f"{key} must be a whole number of at least 10")
            changed[key] = int(value)
        elif key in changed:
            changed[key] = value
        else:
            raise Refusal(422, f"unknown setting {key}")
    NODE.config = changed
    return changed


def post_event(q, cluster):
    name = q.get("event", "")
    if not 1 <= len(name.encode()) <= 32:
        raise Refusal(422, "event must have 1 to 32 bytes")
    NODE.events += 1
    NODE.fire(name, q.get("data", q.get("payload", "")))
    return {"success": True, "event": name} | ({"id": f"10.4.0.11/{NODE.boot}/{NODE.events}"} if cluster else {})


def post_task(q):
    task = NODE.tasks.get(q.get("task"))
    if not task:
        raise Refusal(404, f"no task {q.get('task')}")
    action = q.get("action")
    if action == "set":
        value = q.get("interval", "")
        if not value.isdigit() or not 10 <= int(value) <= 3600000:
            raise Refusal(422, "interval must be 10 to 3600000 ms")
        task["interval"] = int(value)
    elif action in ("enable", "start", "disable", "stop"):
        task["enabled"] = task["running"] = action in ("enable", "start")
    elif action != "status":
        raise Refusal(422, f"unknown action {action}")
    return {"success": True, "message": f"{task['name']}: {action} done", "task": task}


def post_wifi(q):
    if not 1 <= len(q.get("ssid", "")) <= 32:
        raise Refusal(422, "ssid must have 1 to 32 bytes")
    NODE.chosen = (q["ssid"], q.get("password", ""))
    return {"success": True, "message": f"stored; connecting to {q['ssid']}"}


def post_relay(q):
    if q.get("state") not in ("on", "off", "toggle"):
        raise Refusal(422, "state must be on, off or toggle")
    NODE.relay = {"on": "off", "off": "on"}[NODE.relay] if q["state"] == "toggle" else q["state"]
    return {"relay": NODE.relay}


def post_scan(_):
    NODE.scan_until = time.monotonic() + 1.5
    return {"success": True, "message": "scan started"}


def post_restart(_):
    threading.Timer(0.3, NODE.restart, (1.2,)).start()
    return {"success": True, "message": "restarting"}


def post_name(q):
    NODE.names[q["ip"]] = q["hostname"]
    return {}


GET = {
    "/api/node/status": lambda q: node_status(),
    "/api/node/endpoints": lambda q: {"endpoints": ENDPOINTS},
    "/api/node/config": lambda q: NODE.config,
    "/api/node/update": lambda q: update_state(),
    "/api/tasks/status": lambda q: task_status(),
    "/api/network/status": lambda q: network_status(),
    "/api/network/wifi/scan": lambda q: scan_state(),
    "/api/monitoring/resources": lambda q: resources(),
    "/api/cluster/members": lambda q: {"members": NODE.member_list()},
    "/api/cluster/services": services,
    "/api/relay": lambda q: {"relay": NODE.relay},
}
POST = {
    "/api/node/config": post_config,
    "/api/node/restart": post_restart,
    "/api/node/event": lambda q: post_event(q, False),
    "/api/cluster/event": lambda q: post_event(q, True),
    "/api/tasks/control": post_task,
    "/api/network/wifi/scan": post_scan,
    "/api/network/wifi/config": post_wifi,
    "/api/relay": post_relay,
    "/mock/name": post_name,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one(self, method):
        with NODE.lock:
            NODE.open += 1
            NODE.most_open = max(NODE.most_open, NODE.open)
        self.counted = True
        try:
            self.answer(method)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.uncount()

    def uncount(self):
        with NODE.lock:
            NODE.open -= self.counted
        self.counted = False

    def do_GET(self):
        self.handle_one("GET")

    def do_POST(self):
        self.handle_one("POST")

    def answer(self, method):
        if time.monotonic() < NODE.down_until:
            self.close_connection = True
            return
        time.sleep(NODE.delay)
        url = urlsplit(self.path)
        if method == "GET" and url.path == "/":
            return self.reply(200, NODE.page, "text/html; charset=utf-8", ("Content-Encoding", "gzip"))
        if method == "GET" and url.path == "/wifi":
            return self.reply(200, WIFI_PAGE.read_bytes(), "text/html; charset=utf-8")
        if method == "GET" and url.path == "/ws":
            return self.websocket()
        body = self.body(url.path == "/api/node/update")
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        try:
            if method == "POST" and url.path == "/api/node/update":
                with NODE.lock:
                    out = NODE.install(body)
            else:
                table = GET if method == "GET" else POST
                if url.path not in table:
                    raise Refusal(404, f"no {url.path} here")
                if method == "POST":
                    query |= {k: v[-1] for k, v in parse_qs(body.decode(), keep_blank_values=True).items()}
                with NODE.lock:
                    out = table[url.path](query)
            status = 200
        except Refusal as refusal:
            status, out = refusal.status, {"error": str(refusal)}
        self.reply(status, json.dumps(out).encode(), "application/json")

    def body(self, firmware):
        size, body = int(self.headers.get("Content-Length", 0)), b""
        while len(body) < size:
            body += self.rfile.read(min(16384, size - len(body)))
            if firmware:
                time.sleep(0.01)
                NODE.fire("update_progress", json.dumps({"received": len(body), "size": size}))
        return body

    def reply(self, status, body, kind, *headers):
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        # Before the last byte: the browser may ask again before this thread runs on.
        self.uncount()
        self.end_headers()
        self.wfile.write(body)

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True

        def send(data):
            if data is None:
                self.connection.shutdown(2)
                return
            head = bytes([0x81, len(data)]) if len(data) < 126 else b"\x81\x7e" + struct.pack(">H", len(data))
            self.connection.sendall(head + data)

        NODE.sockets.add(send)
        try:
            while True:
                head = self.rfile.read(2)
                if len(head) < 2 or head[0] & 15 == 8:
                    break
                size = head[1] & 127
                if size == 126:
                    size = struct.unpack(">H", self.rfile.read(2))[0]
                self.rfile.read(4 + size)
        except OSError:
            pass
        NODE.sockets.discard(send)


def serve(port=0, members=12, hostile=True, page=PAGE):
    """Starts a mock in threads of this process; returns the server. Only one at a time per process."""
    global NODE
    NODE = Node(members, hostile, Path(page))
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--port", type=int, default=8080)
    args.add_argument("--members", type=int, default=12)
    args.add_argument("--friendly", action="store_true", help="no hostile names")
    args.add_argument("--page", default=PAGE, help="page to serve: index.html or a compressed one (.gz)")
    a = args.parse_args()
    serve(a.port, a.members, not a.friendly, a.page)
    print(f"http://127.0.0.1:{a.port}/", flush=True)
    while True:
        time.sleep(7)
        NODE.fire(*random.choice([("node_status_changed", '{"hostname":"esp_1","ip":"10.4.0.40","status":"INACTIVE"}'),
                                  ("sensor/temperature", "21.4"), ("relay/changed", '{"state":"on"}')]))

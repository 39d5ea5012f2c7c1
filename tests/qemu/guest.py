"""A guest of a node's own access point: a phone with an IP stack of its own, by hand, so that nothing of SPORE's is believed.

It is the other end of QEMU's cable (`-netdev stream`): each frame behind its length, 32 bits, most significant byte first. What a phone would
broadcast it sends to the access point's hardware address, as that of the emulator wants it (firmware/virtual/sdk)."""

import contextlib
import socket
import struct
import time

MAC = bytes.fromhex("025350000001")
NODE = bytes([192, 168, 4, 1])
NOBODY, EVERYBODY = bytes(4), b"\xff" * 4


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def options(data):
    """DHCP's options by their numbers."""
    found, at = {}, 0
    while data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


class Guest:
    """Waits for QEMU to connect to a Unix socket; then sends and receives."""

    def __init__(self, path, access_point):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.access_point = access_point
        self.stream = None
        self.pending = b""
        self.ip = NOBODY
        self.identification = 0

    def connected(self):
        self.listener.settimeout(20)
        self.stream, _ = self.listener.accept()

    def close(self):
        for each in (self.stream, self.listener):
            if each:
                each.close()

    # Frames

    def send(self, kind, payload):
        frame = self.access_point + MAC + struct.pack(">H", kind) + payload
        frame = frame.ljust(60, b"\0")
        self.stream.sendall(struct.pack(">I", len(frame)) + frame)

    def frames(self, seconds):
        """Frames as they come; ends after so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.stream.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self.pending += self.stream.recv(65536)
            while len(self.pending) >= 4:
                (length,) = struct.unpack_from(">I", self.pending)
                if len(self.pending) < 4 + length:
                    break
                frame, self.pending = self.pending[4 : 4 + length], self.pending[4 + length :]
                yield frame

    # IP

    def send_ip(self, protocol, payload, to=NODE):
        self.identification += 1
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), self.identification, 0, 64, protocol, 0) + self.ip + to
        self.send(0x0800, head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload)

    def packets(self, protocol, seconds):
        """Payloads of IP packets of a protocol, checked, and whom their frames were for; ARP requests for this guest are answered."""
        for frame in self.frames(seconds):
            assert frame[6:12] == self.access_point, f"a frame from {frame[6:12].hex()}, not from the access point"
            if frame[12:14] == b"\x08\x06":
                self.answer_arp(frame[14:42])
            elif frame[12:14] == b"\x08\x00" and frame[23] == protocol:
                assert checksum(frame[14:34]) == 0, "the IP header's checksum"
                (length,) = struct.unpack_from(">H", frame, 16)
                yield frame[:6], frame[26:30], frame[30:34], frame[34 : 14 + length]

    def answer_arp(self, packet):
        if packet[6:8] == b"\0\1" and packet[24:28] == self.ip:
            self.send(0x0806, packet[:6] + b"\0\2" + MAC + self.ip + packet[8:18])

    # UDP

    def ask(self, port, payload, source=40000, to=NODE, tries=5):
        """Sends a datagram until one comes back to its port: the frame's receiver and the payload."""
        for _ in range(tries):
            self.send_ip(17, struct.pack(">HHHH", source, port, 8 + len(payload), 0) + payload, to)
            for receiver, ip_from, ip_to, datagram in self.packets(17, 2):
                if struct.unpack_from(">HH", datagram) == (port, source):
                    length, check = struct.unpack_from(">HH", datagram, 4)
                    pseudo = ip_from + ip_to + struct.pack(">BBH", 0, 17, length)
                    assert check and checksum(pseudo + datagram[:length]) == 0, "the datagram's checksum"
                    assert ip_from == NODE
                    return receiver, datagram[8:length]
        raise AssertionError(f"no answer from port {port}")

    def dhcp(self, kind, more=b""):
        message = struct.pack(">BBBBIHH", 1, 1, 6, 0, 0x1234, 0, 0) + bytes(16) + MAC + bytes(10 + 64 + 128)
        message += bytes.fromhex("63825363") + bytes([53, 1, kind]) + more + b"\xff"
        receiver, answer = self.ask(67, message, 68, EVERYBODY)
        assert len(answer) >= 300 and answer[:4] == bytes([2, 1, 6, 0]) and answer[4:8] == bytes.fromhex("00001234")
        assert answer[28:34] == MAC and receiver == MAC
        return answer[16:20], options(answer[240:])

    # TCP: one request after the other, in order, nothing lost

    def get(self, path):
        """GET over a connection of its own: the answer's bytes."""
        port, sequence, acknowledged = 41000 + self.identification, 1000, 0
        self.segment(port, sequence, 0, 0x02)
        answer = b""
        for _, _, _, segment in self.packets(6, 20):
            if struct.unpack_from(">HH", segment) != (80, port):
                continue
            theirs, _, offset, flags = struct.unpack_from(">IIBB", segment, 4)
            data = segment[(offset >> 4) * 4 :]
            if flags & 0x04:
                raise AssertionError("reset")
            if flags & 0x02:
                sequence, acknowledged = sequence + 1, theirs + 1
                request = f"GET {path} HTTP/1.1\r\nHost: captive.example\r\nConnection: close\r\n\r\n".encode()
                self.segment(port, sequence, acknowledged, 0x18, request)
                sequence += len(request)
            elif theirs == acknowledged and (data or flags & 0x01):
                answer += data
                acknowledged += len(data) + (flags & 1)
                self.segment(port, sequence, acknowledged, 0x11 if flags & 1 else 0x10)
                if flags & 1:
                    return answer
            elif data:
                self.segment(port, sequence, acknowledged, 0x10)
        raise AssertionError(f"the answer to {path} does not end: {answer!r}")

    def segment(self, port, sequence, acknowledged, flags, data=b""):
        head = struct.pack(">HHIIBBHHH", port, 80, sequence, acknowledged, 0x50, flags, 8192, 0, 0)
        pseudo = self.ip + NODE + struct.pack(">BBH", 0, 6, len(head) + len(data))
        head = head[:16] + struct.pack(">H", checksum(pseudo + head + data)) + head[18:]
        self.send_ip(6, head + data)

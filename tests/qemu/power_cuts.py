"""A power cut at any flash operation of an update: the flash that each leaves, and what starts from it."""

import os
import queue
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from chip import SECTOR, Chip
from flash_content import BUILT

ERASED = b"\xff"


@dataclass
class Operation:
    """Of the journal: what was erased or programmed."""

    programs: bool
    offset: int
    length: int
    data: bytes

    def done(self, flash, count=None):
        """Does the first `count` bytes of it."""
        count = self.length if count is None else count
        flash[self.offset : self.offset + count] = self.data[:count] if self.programs else ERASED * count


def journal(data):
    """The operations of a journal (firmware/virtual/rom/src/flash.rs)."""
    operations, at = [], 0
    while at < len(data):
        kind, offset, length = struct.unpack_from("<3I", data, at)
        at += 12
        programs = kind == 1
        operations.append(Operation(programs, offset, length, data[at : at + length] if programs else b""))
        at += length if programs else 0
    assert at == len(data)
    return operations


def half(length):
    """Bytes of an operation that are done when the power fails in it, as in the emulator."""
    return length // 8 * 4


def flashes(before, operations, tears):
    """For each operation, counted from 1, the flashes that a power cut in it leaves: (number, bytes done, flash). `tears` says
    how many bytes of an operation may be done."""
    flash = bytearray(before)
    for number, operation in enumerate(operations, 1):
        for count in tears(operation):
            torn = bytearray(flash)
            operation.done(torn, count)
            yield number, count, bytes(torn)
        operation.done(flash)


class Starter:
    """Starts chips one after the other and looks at each until it has said something. Flash is not poisoned while the cache is off, as it
    is in all other tests: that takes a third of a start."""

    def __init__(self, directory, home):
        self.directory = directory
        self.chip = Chip(directory, BUILT / "rom.elf", home.flash, **home.board, strict=0)
        (directory / "air.txt").write_text(home.air)

    def start(self, flash, until, seconds=60):
        """What the serial line says, up to the line with `until`, and the flash then."""
        (self.directory / "flash.bin").write_bytes(flash)
        command = self.chip.command()
        command[command.index("-serial") + 1] = "stdio"
        lines = []
        with subprocess.Popen(
            command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            errors="replace",
        ) as process:  # fmt: skip
            alarm = threading.Timer(seconds, process.kill)
            alarm.start()
            for line in process.stdout:
                lines.append(line)
                if until in line:
                    break
            alarm.cancel()
            process.kill()
        return "".join(lines), self.chip.flash()


def side_by_side(directory, home, jobs, work):
    """Does `work(starter, *job)` for all jobs, a few at a time; returns all results, in no order."""
    workers = os.cpu_count() or 2
    starters = queue.SimpleQueue()
    for number in range(workers):
        starters.put(Starter(directory / f"starter-{number}", home))
    # Not more flashes at a time than needed.
    room = threading.BoundedSemaphore(2 * workers)

    def one(job):
        starter = starters.get()
        try:
            return work(starter, *job)
        finally:
            starters.put(starter)
            room.release()

    results = []
    with ThreadPoolExecutor(workers) as pool:
        for job in jobs:
            room.acquire()
            results.append(pool.submit(one, job))
            # The first failure ends it.
            for done in [result for result in results[-4 * workers :] if result.done()]:
                done.result()
    return [result.result() for result in results]


def sectors(operations):
    """Offsets of the sectors that the operations erase, in order."""
    return [operation.offset for operation in operations if not operation.programs and operation.length == SECTOR]

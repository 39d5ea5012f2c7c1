"""The known answers as machine code of the ESP8266's core: a compiler back end this young must be watched."""

import subprocess

from chip import FIRMWARE, link


def test_the_core_knows_the_answers(tmp_path):
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "spore-answers-lx106"], cwd=FIRMWARE, check=True
    )
    program = tmp_path / "answers.elf"
    link("spore_answers_lx106", ["answers.ld"], program)
    run = subprocess.run(
        ["qemu-system-xtensa", "-M", "lx60", "-cpu", "lx106", "-display", "none", "-monitor", "none"]
        + ["-serial", "none", "-semihosting", "-kernel", program],
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and len(lines) >= 19, (run.returncode, run.stdout, run.stderr)
    assert all(line.startswith("ok   ") for line in lines), run.stdout

"""Runs a command while a lab of five nodes runs: `with_lab.py <command> [argument]...`.

The command finds the URL of a node in SPORE_URL and a good firmware image for it in SPORE_IMAGE.
"""

import os
import subprocess
import sys

from harness import Lab
from image import image

with Lab(5) as lab:
    node = lab.settle()[0]
    firmware = lab.folder / "new.img"
    firmware.write_bytes(image("1.99.0", size=100000))
    host, port = node.address
    environment = os.environ | {"SPORE_URL": f"http://{host}:{port}/", "SPORE_IMAGE": str(firmware)}
    sys.exit(subprocess.run(sys.argv[1:], env=environment).returncode)

#!/usr/bin/env python3
"""Takes pictures of a node's page: light, dark and phone. `screenshot.py --url http://127.0.0.1:8080/ --out docs/images`."""

import argparse
import base64
import shutil
import subprocess
import time
from pathlib import Path

from browser import Browser

SHOTS = [("page-light.png", "light", 1360, 1180, False), ("page-dark.png", "dark", 1360, 1180, False),
         ("page-phone.png", "light", 390, 1500, True)]


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--url", required=True)
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--seconds", type=float, default=12, help="how long to look before the first picture")
    args.add_argument("--full", action="store_true", help="the whole page, however long")
    a = args.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    try:
        browser.get(a.url)
        time.sleep(a.seconds)
        for name, scheme, width, height, phone in SHOTS:
            browser.size(width, height, phone)
            browser.scheme(scheme)
            time.sleep(0.5)
            if a.full:
                height = browser.execute_script("return document.documentElement.scrollHeight")
                browser.size(width, height, phone)
                time.sleep(0.3)
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
            path = a.out / name
            path.write_bytes(base64.b64decode(shot["data"]))
            # Fewer colours keep the repository small; the pictures are as good without.
            if shutil.which("pngquant"):
                subprocess.run(["pngquant", "--force", "--skip-if-larger", "--strip", "--output", path, "128", path],
                               check=False)
            print(path, path.stat().st_size, "bytes")
    finally:
        browser.quit()


if __name__ == "__main__":
    main()

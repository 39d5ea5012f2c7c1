"""Headless Chromium for the tests and the screenshots."""

import os
import shutil
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]


class Browser(webdriver.Chrome):
    """Chromium with a profile of its own, which is removed on `quit`."""

    def __init__(self, width=1360, height=900):
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
        self.profile = tempfile.mkdtemp(prefix="spore-page-")
        options = Options()
        options.binary_location = os.environ.get("SPORE_CHROMIUM") or shutil.which("chromium") or "chromium"
        for flag in [*FLAGS, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        super().__init__(options=options, service=Service(shutil.which("chromedriver") or "chromedriver"))

        self.set_page_load_timeout(15)
        self.set_script_timeout(15)

    def quit(self):
        super().quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def scheme(self, name):
        """Makes the page believe the person prefers `light` or `dark`."""
        self.execute_cdp_cmd("Emulation.setEmulatedMedia",
                             {"features": [{"name": "prefers-color-scheme", "value": name}]})

    def size(self, width, height, phone=False):
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                             {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone})

    def restore(self):
        """Takes back what `scheme` and `size` changed."""
        self.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.scheme("light")

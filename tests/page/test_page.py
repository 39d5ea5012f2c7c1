#!/usr/bin/env python3
"""Tests of the page a node serves, in headless Chromium.

`test_page.py` starts a mock; `test_page.py --url http://127.0.0.1:8080/` (or SPORE_URL) tests the page of a live node, and
then skips what only the mock can show. SPORE_IMAGE names a firmware image that is installed on the live node.
SPORE_PAGE names the page the mock serves (the compressed one of a build, say). Needs Debian's chromium and chromium-driver,
and selenium as pinned in tests/requirements.txt.
"""

import json
import os
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from urllib.parse import urlencode, urlsplit

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

import mock_node
from browser import Browser

URL = os.environ.get("SPORE_URL")
IMAGE = os.environ.get("SPORE_IMAGE")
PAGE = os.environ.get("SPORE_PAGE", mock_node.PAGE)
# A limit for what must happen at all; how fast it happens is not tested.
PATIENCE = 15
needs_mock = unittest.skipIf(URL, "needs the mock")


def setUpModule():
    Case.browser = Browser()


def tearDownModule():
    Case.browser.quit()


class Case(unittest.TestCase):
    """One browser for all tests, one node for all tests of a class; every test loads the page anew."""

    members = 12

    @classmethod
    def setUpClass(cls):
        cls.server = None if URL else mock_node.serve(members=cls.members, page=PAGE)
        cls.url = URL or f"http://127.0.0.1:{cls.server.server_address[1]}/"

    @classmethod
    def tearDownClass(cls):
        # The page of one node must not go on asking while the next one starts.
        cls.browser.get("about:blank")
        if cls.server:
            cls.server.shutdown()
            cls.server.server_close()

    def setUp(self):
        self.browser.restore()
        self.browser.get_log("browser")
        self.browser.get_log("performance")
        self.browser.get(self.url)
        self.until(lambda: self.rows() and self.text("#live") == "live", "members and the event stream")

    def until(self, what, why, patience=PATIENCE):
        return WebDriverWait(self.browser, patience, 0.1).until(lambda _: what(), f"waited in vain for {why}")

    def one(self, css):
        return self.browser.find_element(By.CSS_SELECTOR, css)

    def js(self, code, *args):
        return self.browser.execute_script(code, *args)

    def text(self, css):
        return self.js("const e=document.querySelector(arguments[0]);return e?e.textContent:null", css)

    def rows(self):
        """Every row shown: its cells' texts, the name without its badge."""
        return self.js("return [...document.querySelectorAll('#body tr')].map(r=>[...r.cells].map((c,i)=>"
                       "i==1?c.firstChild.textContent:c.textContent))")

    def api(self, path, **form):
        data = urlencode(form).encode() if form else None
        url = urlsplit(self.url)._replace(path=path).geturl()

        def ask():
            try:
                with urllib.request.urlopen(url, data, 10) as answer:
                    return [json.load(answer)]
            except urllib.error.HTTPError as error:
                # The page, and what the browser has not yet closed, may have all the node's connections for a moment.
                if error.code != 503:
                    raise
        return self.until(ask, f"an answer to {path}")[0]

    def fill(self, css, value):
        field = self.one(css)
        field.clear()
        field.send_keys(value)

    def click(self, css):
        self.js("document.querySelector(arguments[0]).scrollIntoView({block:'center'})", css)
        # Cards that come in later move it, and a click on its way misses.
        places = []

        def rests():
            places.append(self.js("const r=document.querySelector(arguments[0]).getBoundingClientRect();return [r.x,r.y]", css))
            return len(places) > 3 and places[-1] == places[-2] == places[-3]

        self.until(rests, f"{css} to rest")
        self.one(css).click()


class Page(Case):
    def test_loads_quietly_and_from_nowhere_else(self):
        self.until(lambda: self.text("#d-net dd") and self.text("#cfgs input") is not None and self.text("#meters dd"),
                   "all cards")
        sent = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
        urls += [m["params"]["url"] for m in sent if m["method"] == "Network.webSocketCreated"]
        urls = [u for u in urls if not u.startswith("data:")]
        self.assertGreater(len(urls), 5)
        self.assertEqual({urlsplit(u).netloc for u in urls}, {urlsplit(self.url).netloc})
        loud = [e for e in self.browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]
        self.assertEqual(loud, [])

    def test_says_which_node_it_is(self):
        status = self.api("/api/node/status")
        self.assertEqual(self.text("#host"), status["hostname"])
        self.assertEqual(self.text("#sec"), status["security"])
        self.assertIn(status["version"], self.text("#ver"))
        self.assertIn(status["hostname"], self.browser.title)

    def test_shows_every_member_with_its_status(self):
        def same():
            told = {(m["hostname"], m["ip"], m["status"]) for m in self.api("/api/cluster/members")["members"]}
            return {(r[1], r[2], r[0]) for r in self.rows()} == told
        self.until(same, "the rows to be the members")
        self.assertEqual(self.text("#chips button"), f"All {len(self.rows())}")

    def test_filters_and_sorts(self):
        target = self.rows()[0][2]
        self.fill("#find", target)
        self.until(lambda: self.rows() and all(target in r[2] for r in self.rows()), "only the filtered address")
        self.fill("#find", "no such member")
        self.until(lambda: not self.rows(), "no rows")
        self.js("const f=document.getElementById('find');f.value='';f.oninput()")
        ips = lambda: [tuple(map(int, r[2].split("."))) for r in self.rows()]
        for order in ("ascending", "descending"):
            self.click("#cols th:nth-child(3) button")
            self.assertEqual(self.one("#cols th:nth-child(3)").get_attribute("aria-sort"), order)
            self.assertEqual(ips(), sorted(ips(), reverse=order == "descending"))
        self.click("#chips [data-s=ACTIVE]")
        self.assertEqual({r[0] for r in self.rows()}, {"ACTIVE"})

    def test_changes_a_task(self):
        task = lambda: next(t for t in self.api("/api/tasks/status")["tasks"] if t["name"] == "debug_output")
        old = task()["interval"]
        css = "[aria-label='Interval of debug_output in ms']"
        self.until(lambda: self.text("#tbody tr"), "tasks")
        self.fill(css, "4321")
        self.click("[aria-label='Set interval of debug_output']")
        self.until(lambda: task()["interval"] == 4321, "the new interval")
        switch = "[role=switch][aria-label='debug_output on']"
        for on in ("false", "true"):
            self.click(switch)
            self.until(lambda: self.one(switch).get_attribute("aria-checked") == on, f"the switch to say {on}")
            self.assertEqual(task()["enabled"], on == "true")
        self.api("/api/tasks/control", task="debug_output", action="set", interval=old)

    def test_fires_events_and_shows_them_as_text(self):
        hostile = "<img src=x onerror=window.xss=1>"
        for where in ("node", "cluster"):
            name = f"page_test_{where}"
            self.fill("#fire [name=event]", name)
            self.fill("#fire [name=data]", hostile)
            Select(self.one("#fire [name=where]")).select_by_value(where)
            self.click("#fire .go")
            self.until(lambda: f"{name}{hostile}" in self.text("#log"), f"{name} in the list")
        self.assertEqual(self.js("return document.images.length"), 0)
        self.assertIsNone(self.js("return window.xss"))
        self.click("#clear")
        self.assertNotIn("page_test", self.text("#log"))

    def test_pauses_events(self):
        self.click("#pause")
        self.api("/api/node/event", event="while_paused", data="1")
        self.until(lambda: "(" in self.text("#pause"), "an event held back")
        self.assertNotIn("while_paused", self.text("#log"))
        self.click("#pause")
        self.until(lambda: "while_paused" in self.text("#log"), "the event held back")

    def test_tries_an_endpoint_and_finds_who_offers_it(self):
        self.until(lambda: self.text("#eps details"), "the catalogue")
        self.js("const d=[...document.querySelectorAll('#eps details details')].find(d=>d.textContent=="
                "'GET/api/node/status');d.parentElement.open=d.open=true;d.id='t'")
        self.until(lambda: self.text("#t form"), "the form")
        self.click("#t .go")
        self.until(lambda: '"chipId"' in (self.text("#t pre") or ""), "the answer")
        self.assertTrue(self.text("#t output").startswith("200"))
        self.fill("#who [name=uri]", "/api/node/status")
        self.click("#who .go")
        me = self.api("/api/node/status")["hostname"]
        self.until(lambda: me in self.text("#e-who"), "this node among who offers it")

    def test_changes_settings_and_says_what_is_wrong(self):
        self.until(lambda: self.text("#cfgs label"), "settings")
        old = self.api("/api/node/config")["debugIntervalMs"]
        self.fill("#cfgs [name=debugIntervalMs]", "1")
        self.click("#cfg .go")
        self.until(lambda: self.text("#e-config"), "the refusal")
        self.assertEqual(self.one("#e-config").get_attribute("class"), "err")
        self.assertEqual(self.api("/api/node/config")["debugIntervalMs"], old)
        area = self.one("#cfgs textarea")
        labels = self.js("return arguments[0].value", area)
        self.fill("#cfgs [name=debugIntervalMs]", str(old))
        area.send_keys("\npage=test")
        self.click("#cfg .go")
        self.until(lambda: self.api("/api/node/config")["labels"].get("page") == "test", "the label")
        self.until(lambda: self.text("#e-config") == "Saved.", "the page to say so")
        self.js("document.querySelector('#cfgs textarea').value=arguments[0]", labels)
        self.click("#cfg .go")
        self.until(lambda: "page" not in self.api("/api/node/config")["labels"], "the label to go")

    def test_scans_for_networks(self):
        self.click("#scan")
        self.until(lambda: "networks found" in self.text("#e-network"), "the end of the scan")
        self.assertIsNone(self.js("return window.xss"))
        self.click("#nets button")
        first = self.one("#nets button")
        chosen = self.one("#wifi [name=ssid]").get_attribute("value")
        self.assertTrue(chosen)
        self.assertTrue(first.text.startswith(chosen), first.text)

    def test_light_and_dark_differ(self):
        colours = {}
        for scheme in ("light", "dark"):
            self.browser.scheme(scheme)
            colours[scheme] = self.js("const s=getComputedStyle(document.body);return [s.backgroundColor,s.color]")
        self.assertNotEqual(colours["light"][0], colours["dark"][0])
        self.assertNotEqual(colours["light"][1], colours["dark"][1])

    def test_fits_a_phone(self):
        self.until(lambda: self.text("#d-net dd") and self.text("#cfgs label") and self.text("#tbody tr")
                   and self.text("#meters dd") and self.text("#eps details"), "all cards")
        self.js("for(const d of document.querySelectorAll('#eps details'))d.open=true")
        for width in (320, 360, 768):
            self.browser.size(width, 780, phone=True)
            wide = self.js("return [...document.querySelectorAll('body *')].filter(e=>!e.closest('.scroll')&&"
                           "e.getBoundingClientRect().right>arguments[0]).map(e=>e.outerHTML.slice(0,80))", width)
            self.assertLessEqual(self.js("return document.documentElement.scrollWidth"), width, wide)

    def test_every_control_has_a_name(self):
        self.until(lambda: self.text("#cfgs label") and self.text("#tbody tr"), "forms")
        nameless = self.js("return [...document.querySelectorAll('input,select,textarea,button')].filter(e=>"
                           "!e.textContent.trim()&&!e.ariaLabel&&!(e.labels&&e.labels.length)).map(e=>e.outerHTML)")
        self.assertEqual(nameless, [])

    def choose(self, data):
        file = tempfile.NamedTemporaryFile(suffix=".bin")
        self.addCleanup(file.close)
        file.write(data)
        file.flush()
        self.one("#file").send_keys(file.name)
        self.click("#install")

    def test_update_refused(self):
        before = self.api("/api/node/status")["boot"]
        self.choose(b"BAD image, not of SPORE " * 64)
        self.until(lambda: self.one("#e-fw").get_attribute("class") == "err", "the refusal")
        self.assertGreater(len(self.text("#e-fw")), 10)
        self.assertEqual(self.api("/api/node/status")["boot"], before)

    @unittest.skipIf(URL and not IMAGE, "needs SPORE_IMAGE")
    def test_update_confirmed(self):
        with open(IMAGE, "rb") if IMAGE else tempfile.TemporaryFile() as file:
            data = file.read() or os.urandom(300_000)
        self.js("window.seen=[];const p=document.getElementById('pbar');new MutationObserver(()=>seen.push(p.value))"
                ".observe(p,{attributes:true})")
        self.choose(data)
        self.until(lambda: 100 in self.js("return seen"), "the end of the upload")
        self.until(lambda: self.text("#e-fw").startswith(("Running", "Confirmed")), "the trial")
        self.until(lambda: self.text("#e-fw").startswith("Confirmed"), "the confirmation")
        self.until(lambda: self.text("#d-fw").endswith(" confirmed"), "the verdict among the slots")
        self.until(lambda: self.text("#live") == "live", "the event stream to come back")

    @needs_mock
    def test_update_reverted_tells_why(self):
        self.choose(b"REVERT" * 20000)
        self.until(lambda: self.text("#e-fw").startswith("Reverted"), "the verdict")
        self.assertIn("crashed or hung 3 times", self.text("#e-fw"))

    @needs_mock
    def test_hostile_names_are_inert(self):
        self.assertIn(mock_node.HOSTILE, [r[1] for r in self.rows()])
        self.assertIn(f"<b>x={mock_node.HOSTILE}", [r[7] for r in self.rows()])
        self.assertEqual(self.js("return document.images.length"), 0)
        self.assertIsNone(self.js("return window.xss"))

    @needs_mock
    def test_safe_mode_is_seen(self):
        self.until(lambda: self.text("#ver").startswith("v"), "the version")
        self.assertNotIn("safe mode", self.text("#ver"))
        mock_node.NODE.safe_mode = True
        self.addCleanup(setattr, mock_node.NODE, "safe_mode", False)
        self.browser.get(self.url)
        self.until(lambda: self.text("#ver").endswith(" safe mode"), "the badge")

    @needs_mock
    def test_says_when_the_node_is_away(self):
        mock_node.NODE.restart(6)
        self.until(lambda: self.one("#alert").is_displayed(), "the banner")
        self.until(lambda: not self.one("#alert").is_displayed() and self.text("#live") == "live", "the node's return")

    @needs_mock
    def test_keeps_to_two_requests_at_once(self):
        node = mock_node.NODE
        # Leaving a page must free its connections, though the browser may keep the page for going back to it.
        self.browser.get("about:blank")
        self.until(lambda: node.open == 0, "the node to be left alone")
        node.most_open = 0
        self.browser.get(self.url)
        self.until(lambda: self.text("#d-net dd") and self.text("#live") == "live", "all cards")
        node.delay = 0.2
        self.addCleanup(setattr, node, "delay", 0.0)
        self.js("for(let i=0;i<5;i++){document.querySelector('#fire [name=event]').value='many_'+i;"
                "document.getElementById('fire').requestSubmit()}")
        self.until(lambda: all(f"many_{i}" in self.text("#log") for i in range(5)), "all events")
        self.assertEqual(node.most_open, 2)


@needs_mock
class Crowd(Case):
    members = 254

    def test_shows_254_members_and_keeps_their_rows(self):
        self.assertEqual(len(self.rows()), 254)
        self.assertEqual(self.js("return document.querySelectorAll('#map i').length"), 254)
        self.js("for(const r of document.querySelectorAll('#body tr'))r.mine=1")
        self.api("/mock/name", ip="10.4.0.40", hostname="renamed")
        self.until(lambda: "renamed" in [r[1] for r in self.rows()], "the new name")
        kept = self.js("return [...document.querySelectorAll('#body tr')].filter(r=>r.mine).length")
        self.assertEqual(kept, 253)
        self.assertEqual(len(self.rows()), 254)


@needs_mock
class Wifi(Case):
    """The page that guests of a node's own access point are led to."""

    def setUp(self):
        self.node = mock_node.NODE
        self.node.wifi = {"mode": "AP", "state": "idle", "connected": False, "ssid": ""}
        self.browser.restore()
        self.browser.get_log("browser")
        self.browser.get(self.url + "wifi")
        self.until(lambda: "Look again" in self.text("#nets"), "the networks in reach")

    def choose(self, name, password=None):
        self.js("[...document.querySelectorAll('#nets button')].find(b=>b.textContent.startsWith(arguments[0])).click()", name)
        self.assertEqual(self.one("[name=ssid]").get_property("value"), name)
        if password is not None:
            self.one("[name=password]").send_keys(password)
        self.one("form button").click()

    def test_a_network_is_chosen_and_joined(self):
        self.assertIn("open", self.js("return [...document.querySelectorAll('#nets button')]"
                                      ".find(b=>b.textContent.startsWith('cafe')).textContent"))
        self.choose("spore-lab", "correct horse")
        self.until(lambda: "Stored." in self.text("#say"), "the node's word")
        self.assertEqual(self.node.chosen, ("spore-lab", "correct horse"))
        self.node.wifi = {}
        self.until(lambda: "Connected. The node is at 10.4.0.11 on spore-lab." in self.text("#say"), "the outcome")
        self.assertEqual([e for e in self.browser.get_log("browser") if e["level"] == "SEVERE" and "favicon" not in e["message"]], [])

    def test_a_wrong_password_is_told(self):
        self.choose("neighbour", "wrong password")
        self.node.wifi = {"connected": False, "state": "waiting", "lastError": "wrong passphrase"}
        self.until(lambda: "wrong passphrase" in self.text("#say"), "what went wrong")
        self.assertTrue(self.one("form button").is_enabled(), "it can be tried again")

    def test_a_short_password_is_not_sent(self):
        self.node.chosen = None
        self.choose("neighbour", "short")
        self.assertIsNone(self.node.chosen)
        self.assertIn("minlength", self.one("[name=password]").get_attribute("outerHTML"))

    def test_names_from_the_air_are_text(self):
        self.assertIn("<", self.text("#nets"), "the hostile name is shown as it is")
        self.assertEqual(self.js("return document.querySelectorAll('#nets img,#nets script,#nets b').length"), 0)

    def test_fits_a_phone(self):
        self.browser.size(320, 640, phone=True)
        self.assertLessEqual(self.js("return document.documentElement.scrollWidth"), 320)


if __name__ == "__main__":
    if "--url" in sys.argv:
        at = sys.argv.index("--url")
        URL = sys.argv[at + 1]
        os.environ["SPORE_URL"] = URL
        os.execv(sys.executable, [sys.executable, *sys.argv[:at], *sys.argv[at + 2:]])
    unittest.main()

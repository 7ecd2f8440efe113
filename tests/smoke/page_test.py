"""The web page in a real browser, before two pfsyncd that share addresses and states over a link inside this machine."""
import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

import browser
import tap

from daemon import Daemon

PFSYNCCTL = os.environ["PFSYNCCTL"]
SCREENSHOTS = pathlib.Path(os.environ["PFSYNC_SCREENSHOTS"])
VHID, STATES = 42, 3000
USER, PASSWORD = "operator", "a password of the tests"
WAIT_S = 20
PHONE = 360  # pixels
VIEWS = ("carp", "sync", "states", "health")

CONFIG = """
[link]
device = "net_memif0,role={role},socket-abstract=no,socket={folder}/link.sock,id=0,rsize=10"
address = "192.0.2.{host}/24"
[table]
states_max = 20000
[sync]
creatorid = "0000000{creator}"
{sync}
[[carp]]
vhid = {vhid}
advskew = {skew}
password = "of the tests"
addresses = ["192.0.2.100/24", "2001:db8::100/64"]
[http]
listen = "127.0.0.1:{port}"
"""
SYNTHETIC = f"[synthetic]\nstates = {STATES}\nfill_per_s = 20000\n"


# Texts whose colour is less than 4.5 to 1 away from what is behind them (WCAG 2.1, 1.4.3).
CONTRASTS = """
const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (one) => { for (; one; one = one.parentElement) { const c = rgb(getComputedStyle(one).backgroundColor); if (c.length < 4 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
const bad = [];
for (const one of document.querySelectorAll("body *")) {
  if (!one.checkVisibility() || one.closest("svg, :disabled") || ![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
  const [a, b] = [light(rgb(getComputedStyle(one).color).slice(0, 3)), light(behind(one))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push(`${one.tagName} ${one.className} "${one.textContent.slice(0, 30)}" ${ratio.toFixed(2)}`);
}
return bad;
"""


class Pfsyncd(Daemon):
    def __init__(self, folder, name, role, host, skew, more="", sync=""):
        self.port = tap.free_port()
        self.state_dir = folder / f"state-{name}"
        self.state_dir.mkdir()
        super().__init__(name, tap.PFSYNCD, folder, more + CONFIG.format(
            role=role, folder=folder, host=host, creator=name.lower(), vhid=VHID, skew=skew, port=self.port, sync=sync))
        with open(self.config, "a") as config:  # [control] is its last section
            config.write(f"state_dir = {json.dumps(str(self.state_dir))}\n")

    def is_master(self):
        return self.ask("show", what="carp")["hosts"][0]["state"] == "MASTER"

    def sync(self):
        return self.ask("show", what="config_sync")

    def maxupd(self):
        return self.ask("show", what="config")["config"]["sync"]["maxupd"]

    def has(self, state):
        return bool(self.ask("show", what="states", filter=f"id {state}")["states"])


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if why := browser.missing():
            raise unittest.SkipTest(why)
        folder = tempfile.TemporaryDirectory(prefix="pfsync-page-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        door = f'"127.0.0.1:{tap.free_port()}"'
        # A waits for B's acknowledgements, so that there is a lag to show; it gives B its configuration.
        cls.a = Pfsyncd(cls.folder, "A", "server", 1, 0, SYNTHETIC + f'[config_sync]\nrole = "primary"\npeer = {door}\n', "defer = true")
        cls.b = Pfsyncd(cls.folder, "B", "client", 2, 100, f'[config_sync]\nrole = "secondary"\nlisten = {door}\n')
        for node in (cls.a, cls.b):
            cls.addClassCleanup(node.end)
            subprocess.run([PFSYNCCTL, "user", "add", USER, "--file", str(node.state_dir / "users")],
                           input=PASSWORD + "\n", text=True, check=True, capture_output=True)
            node.start()
            node.await_socket(WAIT_S)
        cls.pair()
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.end)
        tap.eventually(cls.a.is_master, WAIT_S, "A leads")
        tap.eventually(lambda: cls.b.status()["states"] > STATES / 2, WAIT_S, "B follows")

    @classmethod
    def pair(cls):
        """As two operators do it, each at a console."""
        consoles = [subprocess.Popen([PFSYNCCTL, "--socket", str(node.socket), "config", "pair"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True) for node in (cls.a, cls.b)]
        for console in consoles:
            told = console.communicate("y\n", timeout=60)[0]
            assert "paired." in told, told
        tap.eventually(lambda: cls.a.sync()["in_sync"], WAIT_S, "both hold one configuration")

    def setUp(self):
        self.origin = f"https://127.0.0.1:{self.a.port}"
        self.browser.open("about:blank")  # what the test before has left open goes on asking, perhaps a daemon that has ended since
        self.browser.requested()
        self.browser.console()
        self.browser.look(1280)

    def tearDown(self):
        # No test leaves a complaint of the page's own, nor a request to anybody else.
        complaints = [line for line in self.browser.console() if not any(word in line for word in self.allowed)]
        self.assertEqual(complaints, [])
        others = {url for url in self.browser.requested() if urllib.parse.urlsplit(url).scheme in ("http", "https", "ws", "wss")
                  and not url.startswith(self.origin + "/")}
        self.assertEqual(others, set())

    allowed = ()  # what a test's own doing makes the browser complain of

    def open(self, view):
        self.browser.open("about:blank")
        self.browser.open(f"{self.origin}/#{view}")
        self.await_text("h1", ".")

    def await_text(self, selector, pattern, seconds=WAIT_S):
        def found():
            self.seen = self.browser.text(selector)
            return re.search(pattern, self.seen)
        try:
            return tap.eventually(found, seconds, f"{selector} shows {pattern}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows {self.seen!r}") from None

    def log_in(self):
        tap.eventually(lambda: self.browser.run("return document.getElementById('login').open"), WAIT_S, "a password is asked for")
        self.browser.type("#login input[name=user]", USER)
        self.browser.type("#login input[name=password]", PASSWORD)
        self.browser.click("#login button[type=submit]")
        try:
            tap.eventually(lambda: not self.browser.run("return document.getElementById('login').open"), WAIT_S, "the password is taken")
        except AssertionError as error:
            raise AssertionError(f"{error}; the page says {self.browser.text('#login-error')!r}") from None

    def ensure_logged_in(self):
        tap.eventually(lambda: not self.browser.run("return document.getElementById('account').disabled"), WAIT_S, "the page knows who is logged in")
        if not self.browser.text("#account").startswith("Log out"):
            self.browser.click("#account")
            self.log_in()

    def test_1_each_view_shows_live_values_in_every_look(self):
        shows = {"carp": r"192\.0\.2\.100/24[\s\S]*MASTER[\s\S]*0000000a\s+this node", "sync": r"0000000a[\s\S]*primary: pushes its configuration[\s\S]*hold the same",
                 "states": r"\d,\d\d\d of at most 20,000[\s\S]*ESTABLISHED:ESTABLISHED", "health": r"Healthy[\s\S]*updates\s*\d[\d.k]*/s"}
        for view in VIEWS:
            self.open(view)
            self.await_text("#verdict", "^Healthy$")
            self.await_text("main", shows[view])
            for look, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", PHONE, "light")):
                self.browser.look(width, 900, scheme, look == "phone")
                self.browser.screenshot(SCREENSHOTS / f"{view}-{look}.png")
                wide = self.browser.run("return document.documentElement.scrollWidth")
                self.assertLessEqual(wide, width, f"{view} scrolls sideways in {look}")
            self.browser.look(1280)

        self.assertEqual(self.browser.run(CONTRASTS), [], "too little contrast")
        self.browser.look(1280, 900, "dark")
        self.assertEqual(self.browser.run(CONTRASTS), [], "too little contrast in the dark")
        self.browser.look(1280)

        # Each chart has values of its own: what changes, lag, loss; and the bulk update that B asked for.
        for chart, values in (("Changes of the table", r"inserts \d.*updates \d.*deletes \d"), ("Messages", r"received \d.*sent \d"),
                              ("Lag: insert to its acknowledgement", r"half within \d.*99 % within \d"),
                              ("Lost, stale, unknown", r"lost frames \d.*stale updates \d.*unknown states \d")):
            find = f"return document.querySelector('svg[aria-label^=\"{chart}:\"]')?.getAttribute('aria-label') ?? ''"
            tap.eventually(lambda: re.search(values, self.browser.run(find)), WAIT_S, f"{chart} shows values")
        self.await_text("[aria-labelledby=health-bulk]", r"To it\s+[1-9]\d* served")

        # The numbers move, and the theme switch overrides the system's.
        before = self.browser.text("main .tiles")
        tap.eventually(lambda: self.browser.text("main .tiles") != before, WAIT_S, "the numbers move")
        colour = "return getComputedStyle(document.body).backgroundColor"
        light = self.browser.run(colour)
        self.browser.keys("tt")  # auto, light, dark
        self.assertNotEqual(self.browser.run(colour), light)
        self.browser.keys("t")
        self.assertEqual(self.browser.run(colour), light)

    def test_2_the_maintenance_button_moves_the_master(self):
        self.allowed = ("api/login", "api/command")
        self.open("carp")
        self.await_text("main", "MASTER")
        self.browser.click_button("Enter persistent CARP maintenance mode")
        self.browser.click_button("Enter maintenance mode")
        # Changes need a user; a wrong password is said, not taken.
        tap.eventually(lambda: self.browser.run("return document.getElementById('login').open"), WAIT_S, "a password is asked for")
        self.browser.type("#login input[name=user]", USER)
        self.browser.type("#login input[name=password]", "wrong")
        self.browser.click("#login button[type=submit]")
        self.await_text("#login-error", "user or password is wrong")
        self.assertFalse(self.a.ask("show", what="carp")["maintenance"])
        # The right one is taken though the daemon takes none for a moment, as it does after a wrong one.
        self.browser.run("""
            const real = window.fetch;
            window.tried = [];
            window.fetch = async (path, options) => {
              if (path !== "/api/login") return real(path, options);
              const answer = window.tried.length === 0
                ? new Response(JSON.stringify({ ok: false, error: "too many passwords were tried: wait 1 s" }), { status: 429 }) : await real(path, options);
              window.tried.push(answer.status);
              return answer;
            };""")
        self.log_in()
        tried = self.browser.run("return window.tried")
        self.assertEqual((tried[0], tried[-1]), (429, 200))
        tap.eventually(lambda: self.b.is_master() and not self.a.is_master(), WAIT_S, "B leads alone")
        self.await_text("main", "BACKUP")
        self.await_text("main", "This node stands back: demotion 240, because of maintenance mode")
        self.browser.click_button("Leave persistent CARP maintenance mode")
        tap.eventually(lambda: self.a.is_master() and not self.b.is_master(), WAIT_S, "A leads alone")
        self.await_text("main", "MASTER")
        self.browser.click("main summary")
        self.await_text("main .history", "BACKUP → MASTER")

    def test_3_states_are_found_by_filter_and_killed_after_a_question(self):
        self.a.ask("synthetic", run=False)
        both = self.a.ask("show", what="states", filter="tcp", limit=1000)["states"]
        known = next(state for state in both if state["levels"] == "ESTABLISHED:ESTABLISHED" and state["direction"] == "out"
                     and state["wire"] == state["stack"])
        tap.eventually(lambda: self.b.has(known["id"]), WAIT_S, "B has the state too")
        far, near = known["wire"]
        self.open("states")
        self.ensure_logged_in()
        self.browser.keys("/")
        self.browser.type("#filter", f"src {near.rsplit(':', 1)[0] if '[' not in near else near.split('[')[0]} {near} dst {far} proto tcp")
        self.browser.keys("\ue007")  # Enter
        self.await_text("main .pager", "Page 1, 1 state, the last")
        self.assertIn(f"{near} -> {far}", self.browser.text("main tbody"))

        # By keyboard alone: all about it, then kill it; first not, then yes.
        self.browser.run("document.querySelector('main tbody tr').focus()")
        self.browser.keys("\ue007")
        self.await_text("main tr.more", f"id: {known['id'].split('/')[0]}")
        self.browser.keys("\ue017")  # Delete
        self.await_text("#confirm", "Kill this state")
        self.browser.click("#confirm-no")
        self.assertTrue(self.a.has(known["id"]))
        self.browser.run("document.querySelector('main tbody tr').focus()")
        self.browser.keys("\ue017")
        self.await_text("#confirm", re.escape(near))
        self.browser.click("#confirm-yes")
        tap.eventually(lambda: not self.a.has(known["id"]), WAIT_S, "A has forgotten it")
        tap.eventually(lambda: not self.b.has(known["id"]), WAIT_S, "B has forgotten it")
        self.await_text("#notes", "killed")

        # A filter that fits nothing, one that is wrong and looks like markup, and pages.
        self.allowed = ("show/states",)
        self.browser.type("#filter", "creator ffffffff")
        self.browser.click("main .filter button[type=submit]")
        self.await_text("main", "No state fits this filter")
        self.browser.type("#filter", "<img src=x>")
        self.browser.click("main .filter button[type=submit]")
        self.await_text("main .error", re.escape('"<img" is no term of a filter'))
        self.assertEqual(self.browser.run("return document.querySelectorAll('main img').length"), 0)
        self.browser.type("#filter", "proto tcp")
        self.browser.click("main .filter button[type=submit]")
        self.await_text("main .pager", "Page 1, 50 states")
        first = self.browser.text("main tbody tr")
        self.browser.run("document.activeElement.blur()")
        self.browser.keys("n")
        self.await_text("main .pager", "Page 2, 50 states")
        self.assertNotEqual(self.browser.text("main tbody tr"), first)
        self.browser.keys("p")
        self.await_text("main .pager", "Page 1, 50 states")

    def test_4_a_change_without_a_session_or_from_elsewhere_is_refused(self):
        def post(headers):
            connection = http.client.HTTPSConnection("127.0.0.1", self.a.port, timeout=10, context=ssl._create_unverified_context())
            connection.request("POST", "/api/command", json.dumps({"command": "flush"}), {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            answer = json.loads(response.read())
            connection.close()
            return response.status, answer["error"]

        before = self.a.status()["states"]
        self.assertEqual(post({})[0], 401)
        self.assertEqual(post({"Origin": "https://elsewhere.example"})[0], 403)
        self.assertEqual(post({"Sec-Fetch-Site": "cross-site"})[0], 403)
        self.assertGreaterEqual(self.a.status()["states"], before - 100)

    def test_5_a_daemon_that_is_restarted_is_waited_for(self):
        self.open("health")
        self.await_text("#verdict", "^Healthy$")
        self.allowed = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "ERR_CONNECTION_CLOSED")
        self.a.end()
        self.await_text("#banner", "pfsyncd does not answer.*Trying again")
        self.await_text("#verdict", "^No answer$")
        self.a.start()
        self.a.await_socket(WAIT_S)
        self.await_text("#verdict", "^(Healthy|Degraded|Failed)$")  # for a moment there may be two masters
        tap.eventually(lambda: self.browser.text("#banner") == "", WAIT_S, "the page no longer complains")
        self.await_text("main", r"updates\s*\d")
        # The session ended with the daemon: it is said, and asked for.
        self.await_text("#account", "^Log in$")

    def test_6_the_sync_view_pushes_compares_and_rolls_back(self):
        self.allowed = ("api/login", "api/command")
        tap.eventually(lambda: self.a.sync()["in_sync"], WAIT_S, "both hold one configuration")
        self.open("sync")
        self.await_text("main", r"primary: pushes its configuration[\s\S]*hold the same")
        self.ensure_logged_in()
        outcome, sections, generations = "main > [role=status]", "section[aria-label=Sections]", "section[aria-label=Generations]"
        for name, digest in self.a.sync()["sections"].items():
            self.await_text(sections, rf"{name}\s+{digest[:12]}\s+the same")
        self.browser.click("#sync-push")
        self.await_text(outcome, r"Both nodes hold generation \d+")
        before = self.a.sync()["in_force"]["generation"]

        # Another configuration: the page sees it come, and what is compared; then back.
        text = self.a.config.read_text()
        self.a.config.write_text(text.replace("defer = true", "defer = true\nmaxupd = 77"))
        self.addCleanup(self.a.config.write_text, text)
        self.a.ask("reload")
        tap.eventually(lambda: self.a.maxupd() == self.b.maxupd() == 77, WAIT_S, "the change is on both nodes")
        self.await_text("#sync-result", "The other node has taken it")
        self.await_text("section[aria-label='Configuration sync']", rf"generation {before + 1}, since .* from file")
        self.await_text(generations, rf"(?m)^{before}\s+\d+\s+Roll back")
        self.browser.click("#sync-compare")
        self.await_text(outcome, r"Both nodes hold the same[\s\S]*sync: the same")
        self.browser.screenshot(SCREENSHOTS / "sync-compared.png")
        self.browser.run("document.querySelector(arguments[0]).click()", f"[data-focus^='back {before} ']")
        self.await_text("#confirm", f"Roll back to generation {before}")
        self.browser.click("#confirm-yes")
        tap.eventually(lambda: self.a.maxupd() == self.b.maxupd() == 128, WAIT_S, "both nodes are back")
        self.await_text(outcome, rf"Both nodes hold generation {before + 2}")
        self.await_text("section[aria-label='Configuration sync']", rf"from rollback to {before}")

    def test_7_a_failed_push_shows_its_reason(self):
        folder = self.folder / "alone"
        folder.mkdir()
        nobody = tap.free_port()
        alone = Pfsyncd(folder, "C", "server", 3, 0, f'[config_sync]\nrole = "primary"\npeer = "127.0.0.1:{nobody}"\n')
        checked = subprocess.run([tap.PFSYNCD, "--check-config", "--config", alone.config], text=True, capture_output=True)
        if checked.returncode != 0 and "config_sync" in checked.stdout + checked.stderr:
            self.skipTest("this pfsyncd synchronizes no configuration")
        subprocess.run([PFSYNCCTL, "user", "add", USER, "--file", str(alone.state_dir / "users")], input=PASSWORD + "\n", text=True, check=True,
                       capture_output=True)
        self.addCleanup(alone.end)
        alone.start()
        alone.await_socket(WAIT_S)
        alone.status()  # it answers once all its doors are open
        self.origin = f"https://127.0.0.1:{alone.port}"
        self.open("sync")
        self.await_text("main", "primary: pushes its configuration")
        self.browser.click("#sync-push")
        self.log_in()
        for where in ("#sync-result", "main > [role=status]"):
            self.await_text(where, rf"127\.0\.0\.1 port {nobody} cannot be reached")

    def test_8_without_a_section_the_sync_view_says_so(self):
        self.allowed = ("show/config_sync",)  # refused, and said so
        folder = self.folder / "plain"
        folder.mkdir()
        plain = Pfsyncd(folder, "D", "server", 4, 0)
        self.addCleanup(plain.end)
        plain.start()
        plain.await_socket(WAIT_S)
        plain.status()  # it answers once all its doors are open
        self.origin = f"https://127.0.0.1:{plain.port}"
        self.open("sync")
        self.await_text("main", r"0000000d[\s\S]*not configured")

    def test_9_a_walk_that_is_told_to_wait_goes_on_where_it_was(self):
        self.open("states")
        self.await_text("main .pager", "Page 1")
        self.browser.run("""
            const real = window.fetch;
            const answers = [[200, { ok: true, states: [], cursor: { shard: 0, slot: 5 }, progress: { at: 5, of: 10 } }], [429, { ok: false, error: "make a pause" }],
              [503, { ok: false, error: "try again" }], [200, { ok: true, states: [], cursor: null, progress: { at: 10, of: 10 } }]];
            window.asked = [];
            window.fetch = (path, options) => {
              if (!path.startsWith("/api/show/states")) return real(path, options);
              window.asked.push(new URL(path, location).searchParams.get("cursor"));
              const [status, body] = answers.shift();
              return Promise.resolve(new Response(JSON.stringify(body), { status }));
            };""")
        self.browser.type("#filter", "creator ffffffff")
        self.browser.click("main .filter button[type=submit]")
        self.await_text("main .scan", "Waiting to go on: make a pause")
        self.await_text("main", "No state fits this filter")
        self.assertEqual(self.browser.run("return window.asked"), [None, "0.5", "0.5", "0.5"])


if __name__ == "__main__":
    sys.exit(tap.main())

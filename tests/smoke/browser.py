"""A headless Chromium, steered through Debian's chromedriver by plain WebDriver: JSON over HTTP, no library."""
import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's name for a reference
START_S = 30
PROGRAMS = ("chromium", "chromedriver")


def missing():
    """In one sentence, why no browser can be had here; empty when one can."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    return f"{' and '.join(absent)} not installed: scripts/setup installs chromium and chromium-driver" if absent else ""


class Browser:
    def __init__(self, width=1280, height=900):
        self.folder = tempfile.TemporaryDirectory(prefix="pfsync-browser-")
        self.driver = self.session = None
        try:
            # Chromium keeps its caches, its crash reports and so on under these.
            environment = os.environ | {"HOME": self.folder.name, "XDG_CONFIG_HOME": self.folder.name, "XDG_CACHE_HOME": self.folder.name}
            self.driver = subprocess.Popen([shutil.which("chromedriver"), "--port=0"], env=environment, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
            self.port = self._port()
            arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
                         f"--user-data-dir={self.folder.name}/profile", f"--window-size={width},{height}"]
            answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": {
                "acceptInsecureCerts": True,  # the daemon's own
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": arguments}}}})
            self.session = answer["sessionId"]
        except BaseException:
            self.end()
            raise

    def _port(self):
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            line = self.driver.stdout.readline()
            if not line:
                break
            if found := re.search(r"started successfully on port (\d+)", line):
                return int(found.group(1))
        raise OSError("chromedriver has not said on which port it listens")

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise OSError(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    def ask(self, method, path, body=None):
        return self._ask(method, f"/session/{self.session}{path}", body if body is not None or method == "GET" else {})

    def end(self):
        try:
            if self.session:
                self.ask("DELETE", "")
        except OSError:
            pass  # it is ended all the same
        finally:
            if self.driver:
                self.driver.terminate()
                try:
                    self.driver.wait(10)
                except subprocess.TimeoutExpired:
                    self.driver.kill()
                    self.driver.wait()
                self.driver.stdout.close()
            self.folder.cleanup()

    # --- the page ---

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector="body"):
        """What a user reads there; empty when there is no such element, or it is hidden."""
        return self.run("const one = document.querySelector(arguments[0]); return one?.checkVisibility() ? one.innerText : '';", selector)

    def find(self, selector):
        return self.ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.ask("POST", f"/element/{self.find(selector)}/click")

    def click_button(self, words):
        """The visible button with these words, by a real click."""
        found = self.ask("POST", "/element", {"using": "xpath", "value": f"//button[normalize-space()='{words}' and not(ancestor::dialog[not(@open)])]"})
        self.ask("POST", f"/element/{found[ELEMENT]}/click")

    def type(self, selector, words):
        element = self.find(selector)
        self.ask("POST", f"/element/{element}/clear")
        self.ask("POST", f"/element/{element}/value", {"text": words})

    def keys(self, words):
        """Pressed wherever the focus is."""
        presses = [{"type": kind, "value": key} for key in words for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": presses}]})

    # --- what it is like ---

    def devtools(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width, height=900, scheme="light", phone=False):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        """The whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]))

    def log(self, kind):
        return self.ask("POST", "/se/log", {"type": kind})

    def console(self):
        """What the page complained of since the last call."""
        return [entry["message"] for entry in self.log("browser") if entry["level"] in ("WARNING", "SEVERE")]

    def requested(self):
        """Every address that was asked for anything since the last call."""
        messages = (json.loads(entry["message"])["message"] for entry in self.log("performance"))
        return [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]

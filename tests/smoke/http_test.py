"""The HTTPS side of a running daemon: who may change things, and what a hostile client costs."""
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings

import tap

from daemon import Daemon

CTL = pathlib.Path(os.environ["PFSYNCCTL"])
SOON_S = 20
PASSWORD = "correct horse battery"
LINK = """[link]
device = "{device}"
address = "192.0.2.{host}/24"
[table]
states_max = 20000
[sync]
creatorid = "0000000{host}"
[http]
listen = "127.0.0.1:{port}"
{http}
"""
SYNTHETIC = """[synthetic]
states = 3000
new_per_s = 200
updates_per_s = 2000
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def insecure(**versions):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the old versions that must be refused
        for name, value in versions.items():
            setattr(context, name, value)
    return context


class Node(Daemon):
    def __init__(self, case, name, host, device="net_null0", http_lines="", more=""):
        self.port = free_port()
        config = LINK.format(device=device, host=host, port=self.port, http=http_lines) + more
        super().__init__(name, tap.PFSYNCD, case.folder, config, state_dir=case.folder / f"state-{name}")
        case.addCleanup(self.end)

    def up(self):
        self.start()
        self.await_socket(SOON_S)
        return self

    def request(self, method, path, body=None, headers=None, context=None, cookie=None, source="127.0.0.1"):
        """(status, headers, JSON or text)"""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=SOON_S, context=context or insecure(),
                                                 source_address=(source, 0))
        try:
            sent = dict(headers or {})
            if body is not None:
                sent["Content-Type"] = "application/json"
                body = json.dumps(body)
            if cookie:
                sent["Cookie"] = cookie
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.getheader("Content-Type") == "application/json"
            return answer.status, answer.headers, json.loads(text) if is_json else text
        finally:
            connection.close()

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE).group(1))

    def show(self, what, **more):
        return self.ask("show", what=what, **more)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-http-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def add_user(self, node, name):
        done = subprocess.run([str(CTL), "user", "--file", str(self.folder / f"state-{node.name}/users"), "add", name],
                              input=PASSWORD + "\n", capture_output=True, text=True, timeout=SOON_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def log_in(self, node):
        """(cookie, CSRF token)"""
        status, headers, answer = node.request("POST", "/api/login", {"user": "ada", "password": PASSWORD})
        self.assertEqual(status, 200, answer)
        return headers["Set-Cookie"].split(";")[0], answer["csrf"]


class Access(Case):
    def test_looking_is_free_on_loopback_and_orders_need_a_user(self):
        node = Node(self, "N", 1).up()
        self.assertEqual(node.request("GET", "/api/show/status")[2]["creatorid"], "00000001")
        self.assertIn("pfsync_states_current 0\n", node.request("GET", "/metrics")[2])
        self.assertTrue(node.request("GET", "/")[2].startswith("<!doctype html>"))
        self.assertIn("pfsyncctl user", node.log.read_text())
        order = {"command": "resync"}
        self.assertEqual(node.request("POST", "/api/command", order)[0], 401)

        self.add_user(node, "ada")
        cookie, token = self.log_in(node)
        session = node.request("GET", "/api/session", cookie=cookie)[2]
        self.assertEqual((session["user"], session["csrf"]), ("ada", token))
        self.assertEqual(node.request("POST", "/api/command", order, cookie=cookie)[0], 403)
        headers = {"X-CSRF-Token": token}
        for other in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            self.assertEqual(node.request("POST", "/api/command", order, headers | other, cookie=cookie)[0], 403)
        self.assertEqual(node.request("GET", "/api/session", headers={"Host": "evil.example"}, cookie=cookie)[0], 421)
        headers["Origin"] = f"https://127.0.0.1:{node.port}"
        status, _, answer = node.request("POST", "/api/command", order, headers, cookie=cookie)
        self.assertEqual((status, answer["sentence"]), (200, "a bulk update was asked for"))

        subprocess.run([str(CTL), "user", "--file", str(self.folder / "state-N/users"), "remove", "ada"], check=True,
                       stdout=subprocess.DEVNULL, timeout=SOON_S)
        self.assertEqual(node.request("POST", "/api/command", order, headers, cookie=cookie)[0], 401)
        lines = [json.loads(line) for line in (self.folder / "state-N/audit.log").read_text().splitlines()]
        self.assertEqual([(line["action"], line["user"], line["ok"]) for line in lines],
                         [("login", "ada", True), ("command", "ada", False), ("command", "ada", False),
                          ("command", "ada", False), ("command", "ada", True)])
        self.assertNotIn(PASSWORD, node.log.read_text())
        modes = {name: (self.folder / "state-N" / name).stat().st_mode & 0o777 for name in ("users", "audit.log", "http/key.pem")}
        self.assertEqual(set(modes.values()), {0o600}, modes)

    def test_old_tls_is_refused(self):
        node = Node(self, "N", 1).up()
        old = insecure(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            node.request("GET", "/", context=old)
        tap.eventually(lambda: "TLS: unsupported protocol" in node.log.read_text(), SOON_S, "the log names the cause")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = insecure(minimum_version=version, maximum_version=version)
            self.assertEqual(node.request("GET", "/", context=context)[0], 200)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=SOON_S)

    def make_certificate(self, name, ca):
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-subj", f"/CN={name}"]
        self.openssl("req", "-x509", "-out", f"{ca}.pem", *[word.replace(name, ca) for word in new])
        self.openssl("req", "-out", f"{name}.csr", *new)
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                     "-out", f"{name}.pem", "-days", "1")
        context = insecure()
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    def test_a_certificate_of_the_named_authority_is_a_user(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed: scripts/setup installs it")
        friend, stranger = self.make_certificate("friend", "ours"), self.make_certificate("stranger", "theirs")
        node = Node(self, "N", 1, http_lines=f'client_ca = "{self.folder}/ours.pem"\nread = "users"').up()
        self.assertEqual(node.request("GET", "/api/show/status")[0], 401)
        self.assertEqual(node.request("GET", "/api/session", context=friend)[2]["user"], "friend")
        self.assertEqual(node.request("POST", "/api/command", {"command": "resync"}, context=friend)[0], 200)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            node.request("GET", "/", context=stranger)
        tap.eventually(lambda: "unable to get local issuer certificate" in node.log.read_text() or
                       "self-signed" in node.log.read_text(), SOON_S, "the log names the cause")


class Hostile:
    """One source of bad requests of every kind, until it is stopped."""

    def __init__(self, port):
        self.port = port
        self.sent = 0
        self.stopped = threading.Event()
        self.held = []
        self.lock = threading.Lock()
        kinds = [self.garbage, self.garbage, self.oversized, self.malformed, self.unread, self.slow, self.many]
        self.threads = [threading.Thread(target=self.run, args=(kind,)) for kind in kinds]
        for thread in self.threads:
            thread.start()

    def run(self, kind):
        while not self.stopped.is_set():
            try:
                kind()
            except OSError:
                pass
            with self.lock:
                self.sent += 1

    def plain(self):
        connection = socket.socket()
        connection.settimeout(1)
        connection.bind(("127.0.0.2", 0))
        connection.connect(("127.0.0.1", self.port))
        return connection

    def tls(self):
        return insecure().wrap_socket(self.plain())

    def garbage(self):
        with self.plain() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" * 20)

    def oversized(self):
        with self.tls() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)
            connection.recv(100)

    def malformed(self):
        with self.tls() as connection:
            connection.sendall(b"POST /api/command HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")
            connection.recv(100)

    def unread(self):
        """Asks for a lot and takes nothing."""
        with self.tls() as connection:
            connection.sendall(b"GET /api/show/states?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 20)
            self.stopped.wait(0.2)

    def slow(self):
        connection = self.tls()
        connection.sendall(b"GET / HTTP/1.1\r\nHost")
        self.held.append(connection)
        if len(self.held) > 4:
            self.held.pop(0).close()

    def many(self):
        """As fast as it goes on one connection."""
        with self.tls() as connection:
            while not self.stopped.is_set():
                connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 50)
                if not connection.recv(65536):
                    break
                with self.lock:
                    self.sent += 50

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        for connection in self.held:
            connection.close()


class Flood(Case):
    def flood(self, a, b, requests, seconds):
        """So many hostile requests to both, for at least so long, while the data path goes on and others are served."""
        before = b.show("status")["totals"]
        floods = [Hostile(node.port) for node in (a, b)]
        begun = time.monotonic()
        try:
            served = 0
            while time.monotonic() < begun + seconds or sum(flood.sent for flood in floods) < requests:
                self.assertLess(time.monotonic(), begun + 120, f"{requests} hostile requests could not be sent")
                self.assertEqual(b.request("GET", "/api/show/status")[0], 200, "another address is served all the while")
                served += 1
                time.sleep(0.1)
            during = b.show("status")["totals"]
        finally:
            for flood in floods:
                flood.stop()
        took = time.monotonic() - begun
        print(f"# {sum(flood.sent for flood in floods) / took:,.0f} hostile requests a second for {took:.1f} s, {served} good ones served")
        for word in ("inserts", "updates", "removals"):
            self.assertGreater(during[word], before[word], f"{word} went on")

    def test_hostile_requests_leave_the_data_path_and_the_memory_alone(self):
        link = 'net_memif0,role={role},socket-abstract=no,socket=' + str(self.folder / "link.sock") + ',id=0,rsize=12'
        a = Node(self, "A", 1, link.format(role="server"), more=SYNTHETIC).up()
        b = Node(self, "B", 2, link.format(role="client")).up()
        tap.eventually(lambda: b.show("status")["bulk"]["phase"] == "done" and b.show("status")["states"] >= 3000, 60,
                       "B has the table")
        for node in (a, b):  # what is taken once, by the first requests of each kind
            for path in ("/api/show/states?limit=1000", "/metrics"):
                self.assertEqual(node.request("GET", path)[0], 200)
        self.flood(a, b, 1500, 2)  # what threads and buffers take once
        before = {node.name: (node.resident_kib(), node.show("counters")) for node in (a, b)}
        self.flood(a, b, 4000, 4)
        for node in (a, b):
            resident, counters = before[node.name]
            grown = node.resident_kib() - resident
            print(f"# {node.name} has grown by {grown:,} KiB, from {resident:,}")
            self.assertLess(grown, 12 * 1024, f"KiB that {node.name} has grown by")
            now = node.show("counters")
            for word in ("imissed", "oerrors", "onomem", "ierrors"):
                self.assertEqual(now["outside"][word], counters["outside"][word], f"{word} of {node.name}")
            self.assertGreater(now["outside"]["http_requests_bad"], counters["outside"]["http_requests_bad"])
            self.assertGreater(now["outside"]["http_refused_rate"], counters["outside"]["http_refused_rate"])
        a.ask("synthetic", run=False)
        tap.eventually(lambda: a.show("status", digest=True)["digest"] == b.show("status", digest=True)["digest"], 60,
                       "both tables are the same")
        self.assertEqual(b.show("counters")["counters"]["bulk_requests_out"], before["B"][1]["counters"]["bulk_requests_out"])


if __name__ == "__main__":
    sys.exit(tap.main())

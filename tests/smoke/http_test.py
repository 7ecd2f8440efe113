"""The HTTPS side of a running daemon: who may change things, and what a hostile client costs."""
import base64
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
import xmlrpc.client

import tap

from daemon import Daemon, Trouble

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
DOORS = """[config_sync]
role = "secondary"
listen = "127.0.0.1:{sync}"
[config_sync.compat]
listen = "127.0.0.1:{compat}"
user = "hasync"
config_version = "24.0"
"""
SYNTHETIC = """[synthetic]
states = 3000
new_per_s = 200
updates_per_s = 2000
"""


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
        self.port = tap.free_port()
        config = LINK.format(device=device, host=host, port=self.port, http=http_lines) + more
        super().__init__(name, tap.PFSYNCD, case.folder, config, state_dir=case.folder / f"state-{name}")
        case.addCleanup(self.end)

    def up(self):
        self.start()
        try:
            self.await_socket(SOON_S)
            self.show("status")  # it answers once all its doors are open
        except Trouble as trouble:
            raise AssertionError("\n".join([str(trouble), *self.last_words()])) from trouble
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

    def await_log(self, node, words):
        try:
            tap.eventually(lambda: words in node.log.read_text(), SOON_S, f"the log says \"{words}\"")
        except AssertionError as failure:
            raise AssertionError("\n".join([str(failure), *node.last_words()])) from None

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
        self.await_log(node, "it speaks TLS 1.1 at most")
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
        self.await_log(node, "(wrong CA)")


class Hostile:
    """Bad requests of every kind at all doors of a node, from many addresses, until it is stopped. What became of them the node counts."""

    SOURCES = 24

    FAST = ("garbage", "garbage", "garbage", "garbage", "senseless", "senseless")  # in a process of their own, or they would wait for the others
    OTHER = ("oversized_head", "oversized_body", "malformed", "unread", "slow", "guess", "stranger")

    def __init__(self, kinds, page, compat, sync):
        self.page, self.compat, self.sync = page, compat, sync
        self.context = insecure()
        self.source = 0
        self.stopped = threading.Event()
        self.held = []
        self.threads = [threading.Thread(target=self.run, args=(getattr(self, kind),)) for kind in kinds]
        for thread in self.threads:
            thread.start()

    def run(self, kind):
        while not self.stopped.is_set():
            try:
                kind()
            except OSError:  # refused, as it should be
                pass

    def plain(self, port, sources=SOURCES):
        """From the next address: each has its share of connections and requests, and what is more is refused."""
        self.source += 1
        connection = socket.socket()
        try:
            connection.settimeout(1)
            connection.bind((f"127.0.0.{100 + self.source % sources}", 0))
            connection.connect(("127.0.0.1", port))
        except OSError:
            connection.close()
            raise
        return connection

    def tls(self, port):
        connection = self.plain(port)
        try:
            return self.context.wrap_socket(connection)
        except OSError:
            connection.close()
            raise

    def say(self, port, text, more=b""):
        with self.tls(port) as connection:
            connection.sendall(text.replace("\n", "\r\n").encode() + more)
            connection.recv(100)

    def garbage(self):
        """From few addresses: most of it is too much of them."""
        for port in (self.page, self.compat, self.sync):
            with self.plain(port, sources=2) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n")

    def oversized_head(self):
        for port in (self.page, self.compat):
            self.say(port, "GET / HTTP/1.1\nX: ", b"a" * 100_000)

    def oversized_body(self):
        """As much as the door takes, of somebody it does not know; and more than it takes."""
        self.say(self.page, "POST /api/login HTTP/1.1\nHost: x\nContent-Length: 10000000\n\n", b"a" * 100_000)
        self.say(self.compat, f"POST /xmlrpc.php HTTP/1.1\nHost: x\nContent-Length: {1 << 26}\n\n")
        with self.tls(self.compat) as connection:
            connection.sendall(f"POST /xmlrpc.php HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 25}\r\n\r\n".encode())
            while not self.stopped.is_set():
                connection.sendall(b"a" * 65536)

    def malformed(self):
        post = "POST /xmlrpc.php HTTP/1.1\nHost: x\n"
        for text in (post + "Content-Length: -5\n\n", post + "Content-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n", "\x16\x03\n\n",
                     "GET / HTTP/1.1\nHost: x\nHost: y\n\n", post + "Content-Length: 3\nExpect: the-best\n\nabc"):
            for port in (self.page, self.compat):
                self.say(port, text)

    def senseless(self):
        """As fast as it goes on one connection: heads in order, and what they ask for is malformed, or nobody may."""
        def post(path, body, more=b""):
            return (b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s" %
                    (path, more, len(body), body))

        requests = [post(b"/api/login", b'{"user": '), post(b"/api/login", b"[" * 5000), post(b"/api/command", b"{}"), post(b"/api/command", b"\0" * 2000),
                    post(b"/api/login", b"{}", b"Origin: https://evil.example\r\n"), b"GET /api/show/states HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                    b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET /api/show/nothing?limit=-1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
        bytes_of_them = b"".join(requests * 10)
        with self.tls(self.page) as connection:
            while not self.stopped.is_set():
                connection.sendall(bytes_of_them)
                if not connection.recv(65536):
                    break

    def unread(self):
        """Asks for a lot and takes nothing."""
        with self.tls(self.page) as connection:
            connection.sendall(b"GET /api/show/states?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 20)
            self.stopped.wait(0.2)

    def slow(self):
        """Begins, and never ends."""
        for port in (self.page, self.page, self.compat):
            connection = self.tls(port)
            self.held.append(connection)
            connection.sendall(b"GET / HTTP/1.1\r\nHost")
        self.stopped.wait(20)

    def guess(self):
        guess = base64.b64encode(f"hasync:{time.monotonic()}".encode()).decode()
        self.say(self.compat, f"POST /xmlrpc.php HTTP/1.1\nHost: x\nAuthorization: Basic {guess}\nContent-Length: {1 << 25}\nExpect: 100-continue\n\n")

    def stranger(self):
        """Without a certificate, and with nothing to say that a node would."""
        self.say(self.sync, f"POST /sync HTTP/1.1\nHost: x\nContent-Length: {1 << 22}\n\n", b"a" * 100_000)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        for connection in self.held:  # until the node gives them up
            connection.settimeout(SOON_S)
            try:
                connection.recv(1)
            except OSError:
                pass
            connection.close()


REFUSALS = ("requests_bad", "requests_denied", "sent_away", "refused_rate", "refused_source", "refused_full", "handshakes_failed", "timed_out")


class Flood(Case):
    LEAST_S, LEAST = 5, 5000  # s and requests of the attack: 1,000 a second, and longer where the machine is busy with other things
    MOST_S = 90

    def setUp(self):
        super().setUp()
        self.compat, self.sync = tap.free_port(), tap.free_port()
        link = 'net_memif0,role={role},socket-abstract=no,socket=' + str(self.folder / "link.sock") + ',id=0,rsize=12'
        self.a = Node(self, "A", 1, link.format(role="server"), more=SYNTHETIC).up()
        self.b = Node(self, "B", 2, link.format(role="client"), more=DOORS.format(sync=self.sync, compat=self.compat))
        (self.folder / "state-B").mkdir()
        self.add_user(self.b, "hasync")
        self.b.up()
        tap.eventually(lambda: self.b.show("status")["bulk"]["phase"] == "done" and self.b.show("status")["states"] >= 3000, 60,
                       "B has the table")

    def counted(self):
        """What B's doors have counted: (door, word) → how often."""
        counts = {}
        for word, count in self.b.show("counters")["outside"].items():
            for door in ("http", "compat", "config_sync"):
                if word.startswith(door + "_"):
                    counts[door, word[len(door) + 1:]] = count
        return counts

    def attack(self, least_s, least):
        """Until it has taken so long and B has refused so many requests. What was seen: `served` of another address, the peak of B's memory in KiB, and what A had sent and B received at its end."""
        before, began, served, peak = self.counted(), time.monotonic(), 0, 0
        doors = self.b.port, self.compat, self.sync
        fast = subprocess.Popen([sys.executable, __file__, "attack", *map(str, doors)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        hostile = Hostile(Hostile.OTHER, *doors)
        try:
            while True:
                try:
                    served += self.b.request("GET", "/api/show/status")[0] == 200
                except OSError:
                    pass  # too many waited before it
                peak = max(peak, self.b.resident_kib())
                time.sleep(0.1)
                now, took = self.counted(), time.monotonic() - began
                counts = {key: now[key] - before[key] for key in now}
                all_of_them = sum(count for (_, word), count in counts.items() if word in REFUSALS)
                if took >= least_s and all_of_them >= least and served:
                    return {"counts": counts, "hostile": all_of_them, "took": took, "served": served, "peak": peak,
                            "sent": self.a.show("counters")["sent"], "received": self.b.show("counters")["received"]}
                self.assertLess(took, self.MOST_S, f"B refused {all_of_them:,} requests meanwhile, fewer than {least:,}; "
                                                   f"{served} of another address were served: {counts}")
        finally:
            fast.stdin.close()  # ends it, as our own end would
            fast.wait()
            hostile.stop()

    def settled(self):
        """The numbers of messages that A sent and B got, once A's load stands still and all has arrived."""
        self.a.ask("synthetic", run=False)

        def look():
            if self.a.show("status")["queued"]:
                return None
            one = self.a.show("counters")["sent"], self.b.show("counters")
            time.sleep(0.3)
            other = self.a.show("counters")["sent"], self.b.show("counters")
            return other if one[0] == other[0] and one[1]["received"] == other[1]["received"] else None

        return tap.eventually(look, 60, "the link is quiet")

    def test_hostile_requests_leave_the_data_path_and_the_memory_alone(self):
        for path in ("/api/show/states?limit=1000", "/metrics"):  # what is taken once, by the first requests of each kind
            self.assertEqual(self.b.request("GET", path)[0], 200)
        self.attack(2, 0)  # what threads and buffers take once
        sent, at_b = self.settled()
        resident = self.b.resident_kib()
        self.a.ask("synthetic", run=True)
        seen = self.attack(self.LEAST_S, self.LEAST)
        counts, hostile, took, peak = seen["counts"], seen["hostile"], seen["took"], seen["peak"]
        sent_after, at_b_after = self.settled()

        kinds = {word: {door: counts[door, word] for door in ("http", "compat", "config_sync")} for word in REFUSALS}
        print(f"# {hostile:,} hostile requests refused in {took:.1f} s, as B counted them: {hostile / took:,.0f} a second; {seen['served']} others served")
        for word, by_door in kinds.items():
            print(f"# {word}: " + ", ".join(f"{count:,} {door}" for door, count in by_door.items()))
        for door in ("http", "compat"):
            self.assertGreater(counts[door, "requests_bad"], 0, f"too large or malformed at {door}")
        self.assertGreater(counts["compat", "sent_away"], 0, "not known at /xmlrpc.php")
        tap.eventually(lambda: self.counted()["http", "timed_out"] >= 2, SOON_S, "who is slow is given up")
        self.assertEqual(counts["compat", "requests"], 0, "no body of somebody unknown was taken")
        self.assertGreater(counts["config_sync", "handshakes_failed"], 0, "without a certificate at /sync")
        self.assertGreater(counts["http", "refused_rate"], 0)

        # The data path: everything that A sent meanwhile came to B, and was applied.
        moved = {word: sent_after[word] - sent[word] for word in sent if word != "eof"}  # that is counted on one side alone
        got = {word: at_b_after["received"][word] - at_b["received"][word] for word in moved}
        self.assertEqual(got, moved)
        sent_meanwhile = sum(seen["sent"].values()) - sum(sent.values())
        self.assertGreater(sent_meanwhile, 0)
        self.assertGreater(sum(seen["received"].values()) - sum(at_b["received"].values()), sent_meanwhile / 2, "it came while the attack went on")
        applied = {word: at_b_after["counters"][word] - at_b["counters"][word] for word in ("inserts", "updates", "removals")}
        print(f"# A sent {moved}; B applied {applied}")
        self.assertTrue(all(applied.values()), applied)
        for word in ("imissed", "oerrors", "onomem", "ierrors"):
            self.assertEqual(at_b_after["outside"][word], at_b["outside"][word], word)
        self.assertEqual(at_b_after["counters"]["bulk_requests_out"], at_b["counters"]["bulk_requests_out"])
        self.assertEqual(self.a.show("status", digest=True)["digest"], self.b.show("status", digest=True)["digest"])

        # Memory: passwords are tried one at a time, 16 MiB each, and given back.
        grown = self.b.resident_kib() - resident
        print(f"# B has grown by {grown:,} KiB, from {resident:,}; at most by {peak - resident:,}")
        self.assertLess(grown, 12 * 1024, "KiB that B has grown by")
        self.assertLess(peak - resident, 64 * 1024, "KiB that B had grown by at some moment")

        # And whoever may come in comes in.
        tap.eventually(self.firewall_is_served, SOON_S * 2, "the firewall is let in again")

    def test_a_firewalls_user_does_nothing_at_the_page(self):
        self.assertTrue(self.firewall_is_served())
        status, _, answer = self.b.request("POST", "/api/login", {"user": "hasync", "password": PASSWORD})
        self.assertEqual((status, answer["ok"]), (403, False), answer)
        basic = {"Authorization": "Basic " + base64.b64encode(f"hasync:{PASSWORD}".encode()).decode()}
        self.assertEqual(self.b.request("GET", "/api/show/status", headers=basic)[0], 403)
        self.assertEqual(self.b.request("POST", "/api/command", {"command": "flush"}, headers=basic)[0], 401)

    def firewall_is_served(self):
        credentials = base64.b64encode(f"hasync:{PASSWORD}".encode()).decode()
        connection = http.client.HTTPSConnection("127.0.0.1", self.compat, timeout=SOON_S, context=insecure())
        try:
            connection.request("POST", "/xmlrpc.php", xmlrpc.client.dumps(("", 240), "pfsense.host_firmware_version"),
                               {"Content-Type": "text/xml", "Authorization": "Basic " + credentials})
            return b"pfSense" in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["attack"]:
        attack = Hostile(Hostile.FAST, *map(int, sys.argv[2:]))
        sys.stdin.read()
        attack.stop()
        sys.exit()
    sys.exit(tap.main())

"""Two pfsyncd that keep one configuration, over TLS; and firewalls that push theirs.

What the pair does stands in two network namespaces: a sync network without a kernel's address, and one for management.
What one node alone can show runs on loopback, on a device that loses everything.
"""
import base64
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import xmlrpc.client

import tap

from daemon import Daemon, Trouble

PFSYNCCTL = os.environ.get("PFSYNCCTL", "")
PATIENCE_S = 30  # what a busy machine may take; what is measured is printed
PORT = 8444

LINK = """
[link]
device = "{device}"
address = "{address}/24"
[table]
states_max = 10000
"""
SHARED = """
[table.timeouts]
tcp_established = {established}
[[peer]]
address = "{peer}"
{more_peers}
"""
CARP = """
[[carp]]
vhid = {vhid}
advskew = {skew}
password = "{password}"
addresses = ["192.0.2.{host}/24"]
"""


def run(*arguments, **options):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=60, **options)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, arguments))}: {' '.join((done.stdout + done.stderr).split())}")
    return done.stdout


class Node(Daemon):
    def __init__(self, case, name, config, prefix=()):
        self.case, self.prefix, self.more = case, prefix, config
        self.state_dir = case.folder / f"state{name}"
        super().__init__(name, tap.PFSYNCD, case.folder, config, prefix=prefix, state_dir=self.state_dir)
        case.addCleanup(self.end)

    def come_up(self):
        self.start()
        self.await_socket(PATIENCE_S)
        self.sync()  # it answers once all its doors are open
        return self

    def rewrite(self, config):
        self.config.write_text(f"{config}\n[control]\nsocket = {json.dumps(str(self.socket))}\nstate_dir = {json.dumps(str(self.state_dir))}\n")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.client = None

    def sync(self):
        return self.ask("show", what="config_sync")

    def hosts(self):
        """vhid → what show carp tells of it."""
        try:
            return {host["vhid"]: host for host in self.ask("show", what="carp")["hosts"]}
        except Trouble as refused:
            if "no [[carp]]" in str(refused):
                return {}
            raise

    def ctl(self, *arguments, text=None):
        return subprocess.run([PFSYNCCTL, "--socket", str(self.socket), *arguments], input=text, capture_output=True, text=True, timeout=60)

    def error_with(self, *words):
        def look():
            error = self.sync()["error"]
            return error if all(word in error for word in words) else None

        try:
            return tap.eventually(look, PATIENCE_S, f"an error with {words}")
        except AssertionError as failure:
            raise AssertionError(f"{failure}; it is {self.sync()['error']!r}; log: {self.log.read_text()[-2000:]}") from None


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-config-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for program in ("openssl",):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed: scripts/setup installs it")


class Pair(Case):
    def setUp(self):
        super().setUp()
        self.namespaces = [f"pfconf{os.getpid()}{side}" for side in "ab"]
        try:
            for namespace in self.namespaces:
                run("ip", "netns", "add", namespace)
                self.addCleanup(run, "ip", "netns", "del", namespace)
                run("ip", "netns", "exec", namespace, "true")
            for name in ("sync", "mgmt"):
                run("ip", "link", "add", f"{name}-0", "netns", self.namespaces[0], "type", "veth",
                    "peer", "name", f"{name}-1", "netns", self.namespaces[1])
                for side in (0, 1):
                    run("ip", "-n", self.namespaces[side], "link", "set", f"{name}-{side}", "up")
        except OSError as error:
            self.skipTest(f"no network namespaces with a veth pair can be had here: {error}")
        for side in (0, 1):
            run("ip", "-n", self.namespaces[side], "addr", "add", f"10.1.0.{side + 1}/24", "dev", f"mgmt-{side}")
            run("ip", "-n", self.namespaces[side], "link", "set", "lo", "up")

    def config(self, side, role, shared="", more=""):
        own, other = side + 1, 2 - side
        text = LINK.format(device=f"sync-{side}", address=f"192.0.2.{own}") + shared
        text += f'[config_sync]\nrole = "{role}"\nlisten = "10.1.0.{own}:{PORT}"\n'
        if role == "secondary":  # its peers become others, but it speaks to peers from the start
            text = text.replace("[config_sync]", "[[peer]]\naddress = \"192.0.2.1\"\n[config_sync]")
        if role == "primary":
            text += f'peer = "10.1.0.{other}:{PORT}"\n'
        return text + more

    @staticmethod
    def shared(skew=0, hosts=(1,), established=3600, peers=()):
        more = "".join(f'[[peer]]\naddress = "192.0.2.{peer}"\n' for peer in peers)
        text = SHARED.format(established=established, peer="192.0.2.2", more_peers=more)
        return text + "".join(CARP.format(vhid=vhid, skew=skew if vhid == 2 else 0, password="secret", host=100 + vhid) for vhid in hosts)

    def node(self, side, *arguments, **options):
        return Node(self, "AB"[side], self.config(side, *arguments, **options), prefix=["ip", "netns", "exec", self.namespaces[side]])

    def pair(self, a, b):
        """As two operators do it, each at a console."""
        consoles = [subprocess.Popen([PFSYNCCTL, "--socket", str(node.socket), "config", "pair"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for node in (a, b)]
        texts = [console.communicate("y\n", timeout=60)[0] for console in consoles]
        codes = [text.split("This console shows ")[1].split(".")[0] for text in texts]
        self.assertEqual(codes[0], codes[1])
        self.assertRegex(codes[0], r"^\d{3} \d{3} \d{3}$")
        for text in texts:
            self.assertIn("paired.", text)

    def both(self, shared):
        a, b = self.node(0, "primary", shared).come_up(), self.node(1, "secondary").come_up()
        self.assertEqual(a.sync()["trust"], "none")
        self.pair(a, b)
        self.await_in_sync(a)
        return a, b

    def await_in_sync(self, a):
        try:
            tap.eventually(lambda: a.sync()["in_sync"], PATIENCE_S, "the push is through")
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {a.sync()['error']}") from None

    def change(self, a, shared):
        a.rewrite(self.config(0, "primary", shared))
        return a.ask("reload")

    def test_a_change_on_the_primary_is_active_on_the_secondary(self):
        a, b = self.both(self.shared(hosts=(1, 2)))
        tap.eventually(lambda: set(b.hosts()) == {1, 2}, PATIENCE_S, "both addresses are there")
        self.assertEqual(b.hosts()[2]["advskew"], 100)
        tap.eventually(lambda: b.hosts()[1]["state"] == "BACKUP" and a.hosts()[1]["state"] == "MASTER", PATIENCE_S, "the primary leads")
        since = time.monotonic() - b.hosts()[1]["seconds"]
        moves = [len(node.hosts()[1]["moves"]) for node in (a, b)]
        began = time.monotonic()
        answer = self.change(a, self.shared(skew=20, hosts=(1, 2, 3), established=1800, peers=(9,)))
        self.assertTrue(answer["ok"], answer)
        tap.eventually(lambda: set(b.hosts()) == {1, 2, 3} and b.hosts()[2]["advskew"] == 120, PATIENCE_S, "the change is active on the secondary")
        print(f"# active on the secondary after {(time.monotonic() - began) * 1000:.0f} ms", flush=True)
        self.await_in_sync(a)
        tap.eventually(lambda: set(a.hosts()) == {1, 2, 3}, PATIENCE_S, "and on the primary")
        # What was not touched has not changed sides, nor begun anew.
        self.assertEqual([len(node.hosts()[1]["moves"]) for node in (a, b)], moves)
        self.assertLess(abs(time.monotonic() - b.hosts()[1]["seconds"] - since), 1)
        peers = {peer["peer"] if "peer" in peer else peer.get("address") for peer in b.ask("show", what="status").get("peers", [])}
        if peers:
            self.assertEqual(peers, {"192.0.2.1", "192.0.2.9"})
        diff = a.ctl("config", "diff")
        self.assertEqual(diff.returncode, 0, diff.stderr)
        self.assertIn("timeouts: the same", diff.stdout)
        # And back.
        first = a.sync()["history"][-1]["generation"]
        back = a.ctl("config", "rollback", str(first))
        self.assertEqual(back.returncode, 0, back.stdout + back.stderr)
        tap.eventually(lambda: set(b.hosts()) == {1, 2}, PATIENCE_S, "the secondary is back")
        self.assertEqual(set(a.hosts()), {1, 2})
        self.assertTrue(a.sync()["rolled_back_from_file"])

    def test_killed_at_any_moment_both_hold_one_whole_configuration(self):
        old, new = (1, 2), (1, 3)
        a, b = self.both(self.shared(hosts=old))
        tap.eventually(lambda: set(b.hosts()) == set(old), PATIENCE_S, "the first configuration")
        for number, delay_ms in enumerate((0, 8, 16, 24, 40, 60)):
            victim = (b, a)[number % 2]
            self.change(a, self.shared(hosts=new))
            time.sleep(delay_ms / 1000)
            victim.kill()
            victim.come_up()
            for node in (a, b):
                self.assertIn(set(node.hosts()), (set(old), set(new)), f"{node.name} after {delay_ms} ms")
            # The primary's operator says again what he wants; both come to it.
            self.change(a, self.shared(hosts=new))
            a.ctl("config", "push")
            tap.eventually(lambda: set(a.hosts()) == set(b.hosts()) == set(new), PATIENCE_S, f"both hold the new one, after {delay_ms} ms")
            old, new = new, old

    def test_what_needs_a_restart_here_keeps_nothing_else_back(self):
        a, b = self.both(self.shared())
        grown = lambda text: text.replace("states_max = 10000", "states_max = 20000")
        a.rewrite(grown(self.config(0, "primary", self.shared())))
        self.assertEqual(a.ask("reload")["restart"], ["table.states_max"])
        # It waits; a later change of what both share does not.
        a.rewrite(grown(self.config(0, "primary", self.shared(hosts=(1, 2)))))
        reload = a.ctl("reload")
        self.assertEqual(reload.returncode, 0, reload.stderr)
        self.assertIn("table.states_max: needs a restart", reload.stdout)
        tap.eventually(lambda: set(a.hosts()) == set(b.hosts()) == {1, 2}, PATIENCE_S, "the address is on both nodes")
        self.await_in_sync(a)
        # What both share and this node can take only with a restart is given to nobody before, and that is said.
        alone = grown(self.config(0, "primary", self.shared(hosts=(1, 2, 3)))).replace('[[peer]]\naddress = "192.0.2.2"\n', "")
        a.rewrite(alone)
        self.assertIn("peer (between multicast and unicast)", a.ask("reload")["restart"])
        a.error_with("a restart of this node is needed for", "peer (between multicast and unicast)", "carp")
        shown, push = a.ctl("show", "config_sync"), a.ctl("config", "push")
        self.assertEqual((shown.returncode, push.returncode), (1, 1))
        self.assertIn("OUT OF SYNC", shown.stdout)
        self.assertIn("a restart of this node is needed for", push.stderr)
        self.assertEqual((set(a.hosts()), set(b.hosts())), ({1, 2}, {1, 2}))
        # The file as before: all is well again. Without the other node, this one goes ahead all the same.
        a.rewrite(grown(self.config(0, "primary", self.shared(hosts=(1, 2)))))
        a.ask("reload")
        self.await_in_sync(a)
        self.assertEqual(a.ctl("show", "config_sync").returncode, 0)
        b.kill()
        a.rewrite(grown(self.config(0, "primary", self.shared(hosts=(1, 4)))))
        a.ask("reload")
        tap.eventually(lambda: set(a.hosts()) == {1, 4}, PATIENCE_S, "the primary alone has the new address")
        b.come_up()
        a.ctl("config", "push")
        tap.eventually(lambda: set(b.hosts()) == {1, 4}, PATIENCE_S, "the secondary follows")

    def test_a_secondary_that_is_made_primary_keeps_the_addresses_of_both(self):
        a, b = self.both(self.shared(hosts=(1, 2), established=1800))
        tap.eventually(lambda: set(b.hosts()) == {1, 2}, PATIENCE_S, "both addresses are there")
        for node in (a, b):
            node.kill()
        swapped = {"primary": ("secondary", ""), "secondary": ("primary", f'\npeer = "10.1.0.1:{PORT}"')}
        texts = [self.config(0, "primary", self.shared(hosts=(1, 2), established=1800)).replace(f'peer = "10.1.0.2:{PORT}"\n', ""), self.config(1, "secondary")]
        for node, text, before in zip((a, b), texts, ("primary", "secondary")):
            role, peer = swapped[before]
            node.rewrite(text.replace(f'role = "{before}"', f'role = "{role}"{peer}'))
            node.come_up()
        self.await_in_sync(b)
        self.assertEqual((set(a.hosts()), set(b.hosts())), ({1, 2}, {1, 2}))
        self.assertEqual((a.hosts()[1]["advskew"], b.hosts()[1]["advskew"]), (100, 0), "the new primary leads")
        self.assertEqual(a.sync()["in_force"]["digest"], b.sync()["in_force"]["digest"])
        self.assertEqual(b.ask("show", what="config")["config"]["table"]["timeouts"]["tcp_established"], 1800)
        self.assertIn("this node was made primary: generation", b.log.read_text())
        # The operator goes on from the text that he is told of.
        shared = (b.state_dir / "config-sync" / "shared.toml").read_text()
        text = b.config.read_text().split("[control]")[0].replace('[[peer]]\naddress = "192.0.2.1"\n', "").replace("[table]\nstates_max = 10000\n", "")
        b.rewrite(f"{text}\n{shared}\n")
        self.assertEqual(b.ask("reload")["restart"], ["table.states_max"])
        tap.eventually(lambda: not b.sync()["rolled_back_from_file"], PATIENCE_S, "the file counts")
        self.assertEqual((set(a.hosts()), set(b.hosts())), ({1, 2}, {1, 2}))
        b.rewrite(f"{text}\n{shared.replace('192.0.2.102/24', '192.0.2.112/24')}\n")
        b.ask("reload")
        tap.eventually(lambda: a.hosts()[2]["addresses"] == b.hosts()[2]["addresses"] == ["192.0.2.112/24"], PATIENCE_S, "a change goes the other way now")

    def test_a_push_that_fails_shows_its_reason(self):
        device = "[[interface]]\ndevice = \"mgmt-0\"\naddress = \"198.51.100.1/24\"\n"
        carp = CARP.format(vhid=7, skew=0, password="x", host=107).replace("192.0.2.107", "198.51.100.7") + "interface = \"mgmt-0\"\n"
        a = self.node(0, "primary", device + carp, more='interface_map = { wan = "mgmt-0" }\n').come_up()
        b = self.node(1, "secondary").come_up()
        self.pair(a, b)
        error = a.error_with("(120)", '"wan" has no mapping on this node')
        shown = a.ctl("show", "config_sync")
        self.assertIn(error, shown.stdout)
        self.assertIn("OUT OF SYNC", shown.stdout)
        self.assertEqual(b.hosts(), {})
        self.assertEqual(set(a.hosts()), {7}, "the primary goes on alone")


# --- one node --------------------------------------------------------------------------------------------

def free_port():
    """Below those that the kernel gives to clients, so that none takes it meanwhile."""
    for port in range(20000 + os.getpid() % 10000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise unittest.SkipTest("no port is free on loopback")


class Authority:
    """A certificate authority of the openssl program."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.certificate,
            "-days", "30", "-subj", f"/CN={name}")

    def issue(self, name, days=30):
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", days, "-out", certificate)
        return certificate, key


class Impostor(threading.Thread):
    """A TLS server in the other node's place: shakes hands, and says nothing that matters."""

    def __init__(self, case, port, certificate, key, maximum=None):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.context.load_cert_chain(certificate, key)
        if maximum:
            self.context.minimum_version, self.context.maximum_version = maximum, maximum
        self.listener = socket.create_server(("127.0.0.1", port))
        self.start()
        case.addCleanup(self.end)

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                with client, self.context.wrap_socket(client, server_side=True) as connection:
                    connection.recv(1)
            except OSError:
                pass

    def end(self):
        if self.is_alive():
            self.listener.shutdown(socket.SHUT_RDWR)
            self.join(10)
            self.listener.close()


class Alone(Case):
    def node(self, more):
        return Node(self, "N", LINK.format(device="net_null0", address="192.0.2.1") + more).come_up()


class Tls(Alone):
    def primary(self, port, more=""):
        return self.node(f'[config_sync]\nrole = "primary"\npeer = "127.0.0.1:{port}"\n{more}')

    def test_a_server_that_is_not_the_other_node_is_refused_by_name(self):
        ours, theirs = Authority(self.folder, "ours"), Authority(self.folder, "theirs")
        certificate, key = ours.issue("node")
        port = free_port()
        node = self.primary(port, f'certificate = "{certificate}"\nkey = "{key}"\nca = "{ours.certificate}"\n')
        node.error_with("cannot be reached")
        self.assertEqual(node.sync()["trust"], "authority")
        for words, arguments in ((("wrong CA",), theirs.issue("stranger")), (("has expired",), ours.issue("old", days="-1")),
                                 (("no TLS 1.3",), (*ours.issue("aged"), ssl.TLSVersion.TLSv1_1))):
            impostor = Impostor(self, port, *arguments)
            node.ctl("config", "push")
            node.error_with(*words)
            impostor.end()

    def test_another_key_than_the_paired_one_is_refused(self):
        authority = Authority(self.folder, "any")
        port = free_port()
        certificate, key = authority.issue("b")
        Impostor(self, port, certificate, key)
        node = self.primary(port)
        node.error_with("not paired yet")
        node.kill()
        (self.folder / "stateN" / "config-sync" / "peer").write_text("00" * 32 + "\n")
        node.come_up()
        node.error_with("wrong pin")

    def connect(self, port, certificate=None, maximum=None):
        """As a client of /sync: the status of an answer, or why there is none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        if certificate:
            context.load_cert_chain(*certificate)
        if maximum:
            context.minimum_version, context.maximum_version = maximum, maximum
        try:
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
            connection.request("POST", "/sync", "<methodCall/>", {"Content-Type": "text/xml"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return str(error)

    def test_a_client_that_is_not_the_other_node_is_refused_by_name(self):
        ours, theirs = Authority(self.folder, "ours"), Authority(self.folder, "theirs")
        certificate, key = ours.issue("node")
        port = free_port()
        node = self.node(f'[config_sync]\nrole = "secondary"\nlisten = "127.0.0.1:{port}"\ncertificate = "{certificate}"\nkey = "{key}"\nca = "{ours.certificate}"\n')
        self.assertEqual(self.connect(port, ours.issue("friend")), 200)
        for words, arguments in (("unable to get local issuer certificate", (theirs.issue("stranger"),)), ("expired", (ours.issue("old", days="-1"),)),
                                 ("unsupported protocol", (ours.issue("aged"), ssl.TLSVersion.TLSv1_1)), ("did not return a certificate", ())):
            before = len(node.log.read_text())
            self.assertIsInstance(self.connect(port, *arguments), str)
            tap.eventually(lambda: words in node.log.read_text()[before:], PATIENCE_S, f"the refusal, with \"{words}\", is in the log")


# --- firewalls -------------------------------------------------------------------------------------------

VERSION_CHECK = ('<?xml version="1.0" encoding="utf-8"?>\n<methodCall><methodName>pfsense.host_firmware_version</methodName><params>'
                 '<param><value><string></string></value></param><param><value><int>240</int></value></param></params></methodCall>')
PUSH = ('<?xml version="1.0" encoding="utf-8"?>\n<methodCall><methodName>pfsense.restore_config_section</methodName><params><param><value><struct>'
        '<member><name>virtualip</name><value><struct><member><name>vip</name><value><array><data><value><struct>'
        '<member><name>mode</name><value><string>carp</string></value></member>'
        '<member><name>interface</name><value><string>wan</string></value></member>'
        '<member><name>vhid</name><value><string>1</string></value></member>'
        '<member><name>advskew</name><value><int>100</int></value></member>'
        '<member><name>advbase</name><value><int>1</int></value></member>'
        '<member><name>password</name><value><string>a&amp;b&lt;c</string></value></member>'
        '<member><name>uniqid</name><value><string>6602c2b1a3f10</string></value></member>'
        '<member><name>descr</name><value><string>WAN VIP</string></value></member>'
        '<member><name>type</name><value><string>single</string></value></member>'
        '<member><name>subnet_bits</name><value><string>24</string></value></member>'
        '<member><name>subnet</name><value><string>192.168.1.100</string></value></member>'
        '</struct></value></data></array></value></member></struct></value></member>'
        '<member><name>aliases</name><value><struct><member><name>alias</name><value><array><data></data></array></value></member></struct></value></member>'
        '<member><name>system</name><value><struct><member><name>nextuid</name><value><string>2000</string></value></member></struct></value></member>'
        '</struct></value></param><param><value><int>900</int></value></param></params></methodCall>')
OPNSENSE_VERSION = '<?xml version="1.0"?>\n<methodCall>\n<methodName>opnsense.firmware_version</methodName>\n<params>\n</params></methodCall>\n'


class Firewalls(Alone):
    PASSWORD = "p:ss/w@rd% ä"

    def setUp(self):
        super().setUp()
        self.port = free_port()
        users = self.folder / "stateN" / "users"
        users.parent.mkdir()
        run(PFSYNCCTL, "user", "--file", users, "add", "hasync", input=self.PASSWORD + "\n")
        self.secondary = self.node('[config_sync]\ninterface_map = { wan = "net_null0" }\n[config_sync.compat]\n'
                                   f'listen = "127.0.0.1:{self.port}"\nuser = "hasync"\nconfig_version = "24.0"\n')

    def post(self, body, password=PASSWORD, user="hasync"):
        context = ssl._create_unverified_context()  # as both products do by default
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        connection.request("POST", "/xmlrpc.php", body.encode() if isinstance(body, str) else body,
                           {"Content-Type": "text/xml; charset=utf-8", "User-Agent": "PEAR::XML_RPC2/1", "Authorization": "Basic " + credentials})
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return xmlrpc.client.loads(response.read())[0][0]

    def call(self, method, *params):
        return self.post(xmlrpc.client.dumps(params, method))

    def credentials(self, password=PASSWORD):
        return base64.b64encode(f"hasync:{password}".encode()).decode()

    def as_pfsense(self, body, password=PASSWORD):
        """As its library sends it: a body of more than 1024 bytes only once 100 Continue has come, and any other answer is the last."""
        body = body.encode()
        head = (f"POST /xmlrpc.php HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n"
                f"Authorization: Basic {self.credentials(password)}\r\nAccept-Encoding: gzip, deflate\r\n"
                "Content-Type: text/xml; charset=utf-8\r\nUser-Agent: PEAR::XML_RPC2/1.1.5-dev\r\n"
                f"Content-Length: {len(body)}\r\n")
        waits = len(body) > 1024
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain, \
                ssl._create_unverified_context().wrap_socket(plain) as connection, connection.makefile("rb") as answers:
            connection.sendall(head.encode() + (b"Expect: 100-continue\r\n" if waits else b"") + b"\r\n" + (b"" if waits else body))
            if waits:
                first = answers.readline()
                if first.startswith(b"HTTP/1.1 100 "):
                    self.assertEqual(answers.readline(), b"\r\n")
                    connection.sendall(body)
                    first = answers.readline()
            else:
                first = answers.readline()
            rest = answers.read()
        self.assertTrue(first.startswith(b"HTTP/1.1 200 "), first + rest)
        return xmlrpc.client.loads(rest.split(b"\r\n\r\n", 1)[1])[0][0]

    def test_a_push_as_pfsenses_library_sends_it(self):
        self.assertGreater(len(PUSH), 1024)
        self.assertEqual(self.as_pfsense(VERSION_CHECK)["config_version"], "24.0")
        self.assertIs(self.as_pfsense(PUSH), True)
        self.assertEqual(set(self.secondary.hosts()), {1})
        with self.assertRaises(xmlrpc.client.Fault) as raised:
            self.as_pfsense(PUSH, password="wrong")
        self.assertEqual(raised.exception.faultString, "Authentication failed: Invalid username or password")

    def test_a_push_in_chunks(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl._create_unverified_context(), timeout=60)
        self.addCleanup(connection.close)
        body = PUSH.encode()
        connection.request("POST", "/xmlrpc.php", (body[at:at + 700] for at in range(0, len(body), 700)), encode_chunked=True,
                           headers={"Content-Type": "text/xml", "Transfer-Encoding": "chunked", "Authorization": "Basic " + self.credentials()})
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        self.assertIs(xmlrpc.client.loads(response.read())[0][0], True)
        self.assertEqual(set(self.secondary.hosts()), {1})

    def test_a_pfsense_pushes_its_virtual_addresses(self):
        version = self.post(VERSION_CHECK)
        self.assertEqual((version["config_version"], version["platform"]), ("24.0", "pfSense"))
        self.assertIs(self.post(PUSH), True)
        host = self.secondary.hosts()[1]
        self.assertEqual((host["advskew"], host["advbase"], host["addresses"]), (100, 1, ["192.168.1.100/24"]))
        compat = self.secondary.sync()["compat"]
        self.assertEqual(compat["received_but_not_applied"], ["aliases", "system"])
        self.assertIn("received but not applied: aliases, system", self.secondary.ctl("show", "config_sync").stdout)
        generation = compat["in_force"]["generation"]
        self.assertIs(self.post(PUSH), True)
        self.assertEqual(self.secondary.sync()["compat"]["in_force"]["generation"], generation, "what is the same is not applied again")
        with self.assertRaises(xmlrpc.client.Fault) as raised:
            self.post(PUSH.replace(">wan<", ">opt3<"))
        self.assertEqual(raised.exception.faultCode, 120)
        self.assertIn("interface opt3 has no mapping on this node", raised.exception.faultString)
        self.assertEqual(set(self.secondary.hosts()), {1})
        self.secondary.kill()
        self.secondary.come_up()
        self.assertEqual(set(self.secondary.hosts()), {1}, "a start finds what was pushed")
        self.assertIs(self.call("pfsense.restore_config_section", {"virtualip": []}, 900), True)
        self.assertEqual(self.secondary.hosts(), {})

    def test_an_opnsense_pushes_its_virtual_addresses(self):
        self.assertIn("base", self.post(OPNSENSE_VERSION))
        common = {"@attributes": {"uuid": "6f3c"}, "interface": "wan", "subnet_bits": "24", "vhid": "7", "descr": ""}
        carp = {**common, "mode": "carp", "subnet": "192.168.1.107", "password": "x", "advbase": "1", "advskew": 150}
        alias = {**common, "mode": "ipalias", "subnet": "192.168.1.108"}
        self.assertIs(self.call("opnsense.restore_config_section", {"virtualip": {"vip": [carp, alias]}, "OPNsense": {"Kea": []}}), True)
        self.assertIs(self.call("opnsense.filter_configure"), True)
        host = self.secondary.hosts()[7]
        self.assertEqual((host["advskew"], host["addresses"]), (150, ["192.168.1.107/24", "192.168.1.108/24"]))

    def test_whoever_has_not_the_password_changes_nothing(self):
        for user, password in (("hasync", "wrong"), ("admin", self.PASSWORD)):
            with self.assertRaises(xmlrpc.client.Fault) as raised:
                self.post(PUSH, password=password, user=user)
            self.assertEqual(raised.exception.faultCode, -1)
            self.assertIn("Authentication failed", raised.exception.faultString)
        self.assertEqual(self.secondary.hosts(), {})

    def test_commands_are_refused_with_an_alarm(self):
        self.assertTrue(self.secondary.sync()["healthy"])
        for method in ("pfsense.exec_php", "pfsense.exec_shell"):
            with self.assertRaises(xmlrpc.client.Fault) as raised:
                self.call(method, "touch /tmp/x", 240)
            self.assertEqual(raised.exception.faultCode, -32601)
        status = self.secondary.sync()
        self.assertFalse(status["healthy"])
        self.assertIn("pfsense.exec_php", status["alarms"][0])
        self.assertEqual(self.secondary.ctl("show", "config_sync").returncode, 1)


if __name__ == "__main__":
    sys.exit(tap.main())

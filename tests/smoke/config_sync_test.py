"""Two pfsyncd that keep one configuration, over TLS.

What the pair does stands in two network namespaces: a sync network without a kernel's address, and one for management.
What one node alone can show runs on loopback, on a device that loses everything.
"""
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

import tap

from config_nodes import CARP, LINK, PATIENCE_S, PFSYNCCTL, PORT, RELAY_PORT, SHARED, Between, Case, Node, run


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
        for text in texts:
            self.assertIn("This console shows ", text)
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
        # Peers and timeouts too: the secondary's own view of the pair, with the primary where it was itself.
        self.assertEqual({peer["address"] for peer in b.ask("show", what="peers")["peers"]}, {"192.0.2.1", "192.0.2.9"})
        self.assertEqual(b.ask("show", what="config")["config"]["table"]["timeouts"]["tcp_established"], 1800)
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

    def whole(self, node):
        """What is stored and what is at work, of all that both nodes share."""
        config = node.ask("show", what="config")["config"]
        return node.sync()["in_force"]["digest"], json.dumps([config.get("carp"), config.get("peer"), config["table"]["timeouts"]], sort_keys=True)

    def test_killed_at_each_step_of_a_push_each_node_holds_one_whole_configuration(self):
        between = Between(self, self.namespaces[0], RELAY_PORT, ("10.1.0.2", PORT))
        text = lambda shared: self.config(0, "primary", shared).replace(f"10.1.0.2:{PORT}", f"127.0.0.1:{RELAY_PORT}")
        texts = [text(self.shared(hosts=(1, 2))), text(self.shared(hosts=(1, 3), skew=20, established=1800, peers=(9,)))]
        prefix = ["ip", "netns", "exec", self.namespaces[0]]
        a, b = Node(self, "A", texts[0], prefix=prefix).come_up(), self.node(1, "secondary").come_up()
        self.pair(a, b)
        self.await_in_sync(a)
        known = [[self.whole(node)] for node in (a, b)]
        a.rewrite(texts[1])
        a.ask("reload")
        for number, node in enumerate((a, b)):
            tap.eventually(lambda: self.whole(node)[0] != known[number][0][0], PATIENCE_S, "the second configuration")
        self.await_in_sync(a)
        for number, node in enumerate((a, b)):
            known[number].append(self.whole(node))
            self.assertNotEqual(*(one[1] for one in known[number]))
        store = b.state_dir / "config-sync"
        staged, pending = (store / "config.new").exists, (store / "pending").exists
        now = 1
        # Each message is a connection of its own: the one that is kept back ends the push at that step.
        for step, reached in (("stage", lambda: between.passed >= 1), ("commit", staged), ("confirm", pending)):
            for victim in (b, a):
                where = f"{victim.name} killed before {step}"
                target = 1 - now
                a.rewrite(texts[target])
                between.hold(reached)
                a.ask("reload")
                tap.eventually(between.kept.is_set, PATIENCE_S, f"{step} is kept back")
                self.assertEqual((staged(), pending()), (step == "commit", step == "confirm"), where)
                self.assertIn(self.whole(a), known[0] if step == "stage" else known[0][target:target + 1], f"{where}: the primary applies before commit")
                self.assertEqual(self.whole(b), known[1][target if step == "confirm" else now], where)
                victim.kill()
                victim.come_up()
                # Either is whole, the old or the new. A secondary that was killed before the confirmation is back; a primary starts with its file.
                for number, node in enumerate((a, b)):
                    tap.eventually(lambda: self.whole(node) in known[number], PATIENCE_S, f"{where}: {node.name} holds one or the other")
                if victim is b:
                    self.assertEqual(self.whole(b), known[1][now], where)
                else:
                    self.assertEqual(self.whole(a), known[0][target], where)
                between.release()
                a.ctl("config", "push")
                for number, node in enumerate((a, b)):
                    tap.eventually(lambda: self.whole(node) == known[number][target], PATIENCE_S, f"{where}: {node.name} comes to the new one")
                self.await_in_sync(a)
                self.assertFalse(pending(), where)
                print(f"# {where}: whole", flush=True)
                now = target

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
        # A [[carp]] in the secondary's file has no say, and is told so.
        b.rewrite(self.config(1, "secondary", CARP.format(vhid=9, skew=0, password="secret", host=109)))
        said = b.ctl("reload")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("warning: [[carp]] vhid 9 has no say here: it comes from the primary", said.stdout)
        self.assertEqual(set(b.hosts()), {1, 2})
        # The file as before: all is well again. Without the other node, this one goes ahead all the same.
        a.rewrite(grown(self.config(0, "primary", self.shared(hosts=(1, 2)))))
        a.ask("reload")
        self.await_in_sync(a)
        self.assertEqual(a.ctl("show", "config_sync").returncode, 0)
        b.kill()
        a.rewrite(grown(self.config(0, "primary", self.shared(hosts=(1, 4)))))
        a.ask("reload")
        tap.eventually(lambda: set(a.hosts()) == {1, 4}, PATIENCE_S, "the primary alone has the new address")
        # Nor does it take peers while it speaks to a group: it says what to write.
        b.rewrite(self.config(1, "secondary").replace('[[peer]]\naddress = "192.0.2.1"\n', ""))
        b.come_up()
        self.assertEqual(set(b.hosts()), {1, 2})
        a.ctl("config", "push")
        a.error_with("(120)", "write one there")
        diff = a.ctl("config", "diff")
        self.assertIn('carp: differs; a push there means removed vhid 2; added vhid 4', diff.stdout)
        b.kill()
        b.rewrite(self.config(1, "secondary"))
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
        peer = '[[peer]]\naddress = "192.0.2.2"\n'
        a = self.node(0, "primary", peer + device + carp, more='interface_map = { wan = "mgmt-0" }\n').come_up()
        b = self.node(1, "secondary").come_up()
        self.pair(a, b)
        error = a.error_with("(120)", '"wan" has no mapping on this node')
        shown = a.ctl("show", "config_sync")
        self.assertIn(error, shown.stdout)
        self.assertIn("OUT OF SYNC", shown.stdout)
        self.assertEqual(b.hosts(), {})
        self.assertEqual(set(a.hosts()), {7}, "the primary goes on alone")


# --- one node --------------------------------------------------------------------------------------------

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


class Slow(Alone):
    def test_a_file_that_is_changed_back_while_the_other_node_is_asked_counts(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
            silent.settimeout(PATIENCE_S)
            text = f'[config_sync]\nrole = "primary"\npeer = "127.0.0.1:{silent.getsockname()[1]}"\n'
            node = self.node(text)
            tap.eventually(lambda: node.sync()["in_force"], PATIENCE_S, "the file's own")
            first = node.sync()["sections"]["carp"]
            node.error_with("did not answer in time")
            before = node.more
            node.rewrite(before + CARP.format(vhid=7, skew=0, password="x", host=107))
            self.assertIn("the other node is asked first", node.ask("reload")["sentence"])
            time.sleep(0.5)  # it is asked by now
            node.rewrite(before)
            node.ask("reload")
            generation = node.sync()["in_force"]["generation"]
            tap.eventually(lambda: node.sync()["in_force"]["generation"] >= generation + 2, PATIENCE_S, "both were offered, one after the other")
            self.assertEqual((set(node.hosts()), node.sync()["sections"]["carp"]), (set(), first))


class Tls(Alone):
    def primary(self, port, more=""):
        return self.node(f'[config_sync]\nrole = "primary"\npeer = "127.0.0.1:{port}"\n{more}')

    def test_a_server_that_is_not_the_other_node_is_refused_by_name(self):
        ours, theirs = Authority(self.folder, "ours"), Authority(self.folder, "theirs")
        certificate, key = ours.issue("node")
        port = tap.free_port()
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
        port = tap.free_port()
        certificate, key = authority.issue("b")
        Impostor(self, port, certificate, key)
        node = self.primary(port)
        node.error_with("not paired yet")
        node.kill()
        (self.folder / "stateN" / "config-sync" / "peer").write_text("00" * 32 + "\n")
        node.come_up()
        node.error_with("wrong pin")

    def connect(self, port, certificate=None, maximum=None, body="<methodCall/>", headers=None):
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
            connection.request("POST", "/sync", body, {"Content-Type": "text/xml"} | (headers or {}), encode_chunked=bool(headers))
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return str(error)

    def test_whoever_is_not_paired_yet_may_say_little(self):
        port = tap.free_port()
        node = self.node(f'[config_sync]\nrole = "secondary"\nlisten = "127.0.0.1:{port}"\n')
        stranger = Authority(self.folder, "any").issue("stranger")
        node.ask("config", do="pair")
        tap.eventually(lambda: self.connect(port, stranger) == 200, PATIENCE_S, "the door is open for pairing")
        self.assertEqual(self.connect(port, stranger, body="a" * 20_000), 413)
        self.assertEqual(self.connect(port, stranger, body=iter([b"a"]), headers={"Transfer-Encoding": "chunked"}), 413)

    def test_a_client_that_is_not_the_other_node_is_refused_by_name(self):
        ours, theirs = Authority(self.folder, "ours"), Authority(self.folder, "theirs")
        certificate, key = ours.issue("node")
        port = tap.free_port()
        node = self.node(f'[config_sync]\nrole = "secondary"\nlisten = "127.0.0.1:{port}"\ncertificate = "{certificate}"\nkey = "{key}"\nca = "{ours.certificate}"\n')
        self.assertEqual(self.connect(port, ours.issue("friend")), 200)
        for words, arguments in (("(wrong CA)", (theirs.issue("stranger"),)), ("its certificate has expired", (ours.issue("old", days="-1"),)),
                                 ("it speaks TLS 1.1 at most", (ours.issue("aged"), ssl.TLSVersion.TLSv1_1)),
                                 ("it speaks TLS 1.2 at most", (ours.issue("older"), ssl.TLSVersion.TLSv1_2)), ("it has shown no certificate", ())):
            before = len(node.log.read_text())
            self.assertIsInstance(self.connect(port, *arguments), str)
            tap.eventually(lambda: words in node.log.read_text()[before:], PATIENCE_S, f"the refusal, with \"{words}\", is in the log")


if __name__ == "__main__":
    sys.exit(tap.main())

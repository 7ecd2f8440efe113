"""Two pfsyncd that are paired and nothing more: made to differ by a switch that loses all frames for a while, compared, and mended.

Both stand in network namespaces with a switch between them on the sync network, and a link of their own for management.
"""
import json
import os
import subprocess
import sys

import tap

from config_nodes import LINK, PATIENCE_S, PFSYNCCTL, PORT, Case, Node, run

STATES = 2000
FIREWALL = f"""
[synthetic]
states = {STATES}
new_per_s = 500
updates_per_s = 2000
"""
SYNC = """
[sync]
delay_ms = 200
compare_every_s = 0
"""


class Paired(Case):
    def setUp(self):
        super().setUp()
        self.namespaces = [f"pfdiv{os.getpid()}{side}" for side in "abs"]
        self.switch = self.namespaces[2]
        try:
            for namespace in self.namespaces:
                run("ip", "netns", "add", namespace)
                self.addCleanup(run, "ip", "netns", "del", namespace)
                run("ip", "netns", "exec", namespace, "true")
            run("ip", "-n", self.switch, "link", "add", "switch", "type", "bridge", "mcast_snooping", "0")
            for side in (0, 1):
                run("ip", "link", "add", f"sync-{side}", "netns", self.namespaces[side], "type", "veth", "peer", "name", f"to-{side}", "netns", self.switch)
                run("ip", "-n", self.switch, "link", "set", f"to-{side}", "master", "switch", "up")
                run("ip", "-n", self.namespaces[side], "link", "set", f"sync-{side}", "up")
            run("ip", "-n", self.switch, "link", "set", "switch", "up")
            run("ip", "link", "add", "mgmt-0", "netns", self.namespaces[0], "type", "veth", "peer", "name", "mgmt-1", "netns", self.namespaces[1])
        except OSError as error:
            self.skipTest(f"no network namespaces with a bridge can be had here: {error}")
        for side in (0, 1):
            run("ip", "-n", self.namespaces[side], "link", "set", f"mgmt-{side}", "up")
            run("ip", "-n", self.namespaces[side], "addr", "add", f"10.1.0.{side + 1}/24", "dev", f"mgmt-{side}", "nodad")

    def cut(self):
        run("ip", "-n", self.switch, "link", "set", "to-1", "nomaster")

    def mend_cable(self):
        run("ip", "-n", self.switch, "link", "set", "to-1", "master", "switch")

    def node(self, side, way, more):
        own, other = side + 1, 2 - side
        config = LINK.format(device=f"sync-{side}", address=f"192.0.2.{own}") + SYNC
        config += f'[[peer]]\naddress = "192.0.2.{other}"\n[config_sync]\nrole = "off"\n{way}{more}'
        return Node(self, "AB"[side], config, prefix=["ip", "netns", "exec", self.namespaces[side]]).come_up()

    def both(self):
        a = self.node(0, f'peer = "10.1.0.2:{PORT}"\n', FIREWALL)
        b = self.node(1, f'listen = "10.1.0.2:{PORT}"\n', "")
        consoles = [subprocess.Popen([PFSYNCCTL, "--socket", str(node.socket), "config", "pair"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for node in (a, b)]
        for console in consoles:
            self.assertIn("paired.", console.communicate("y\n", timeout=60)[0])
        tap.eventually(lambda: self.status(a)["states"] == STATES, PATIENCE_S, "A is full")
        return a, b

    @staticmethod
    def status(node):
        return node.ask("show", what="status", digest=True)

    def troubles(self, node):
        """Without what a cable that was cut leaves for a while."""
        return [(reason["trouble"], reason["peer"], reason["level"]) for reason in self.status(node)["reasons"] if reason["trouble"] == "divergence"]

    def digests(self, a, b):
        return [self.status(node)["digest"] for node in (a, b)]

    def stand_still(self, a, b):
        a.ask("synthetic", run=False)
        a.ask("push")
        tap.eventually(lambda: self.status(a)["queued"] == 0, PATIENCE_S, "all is said")

    def diff(self, node, *arguments):
        done = node.ctl("--json", "diff", *arguments)
        answer = json.loads(done.stdout)
        self.assertIn("comparison", answer, f"{done.stderr}; the nodes' logs: {[log.read_text()[-1500:] for log in self.folder.glob('*.log')]}")
        return done.returncode, answer["comparison"]["last"]

    def test_what_was_lost_is_found_and_mended(self):
        a, b = self.both()
        # Amid the traffic nothing differs: what changes all the time is in flux at most.
        status, found = self.diff(a)
        self.assertEqual((status, found["different"], found["error"]), (0, 0, None), found)
        self.stand_still(a, b)
        tap.eventually(lambda: len(set(self.digests(a, b))) == 1, PATIENCE_S, "both hold the same")

        self.cut()
        lost = {"ended": a.ask("show", what="states", limit=7)["states"]}
        for state in lost["ended"]:
            a.ask("kill", id=state["id"])
        before = self.status(a)["totals"]
        a.ask("synthetic", run=True)
        tap.eventually(lambda: self.status(a)["totals"]["inserts"] > before["inserts"] + 20, PATIENCE_S, "new states on A")
        self.stand_still(a, b)
        self.mend_cable()
        self.assertNotEqual(*self.digests(a, b))

        self.assertEqual(self.troubles(a), [])
        status, found = self.diff(a)
        self.assertEqual(status, 1, found)
        self.assertEqual(self.troubles(a), [("divergence", "192.0.2.2", "degraded")])
        self.assertGreater(found["only_here"], 20)
        self.assertGreater(found["only_there"], 6)
        self.assertGreater(found["newer_here"], 0)
        self.assertEqual(found["mended_here"] + found["mended_there"], 0)
        shown = a.ctl("diff")
        self.assertEqual(shown.returncode, 1, shown.stderr)
        self.assertRegex(shown.stdout, r"(?m)^[0-9a-f]{16}/[0-9a-f]{8}: only here$\n +here +\S+ .*:.*\n +there +-$")

        traffic = self.mgmt_bytes()
        mended = a.ctl("diff", "--repair")
        traffic = self.mgmt_bytes() - traffic
        self.assertEqual(mended.returncode, 0, mended.stdout + mended.stderr)
        self.assertEqual(self.troubles(a), [])
        self.assertEqual(*self.digests(a, b))
        last = a.ask("show", what="divergence")["comparison"]["last"]
        # Their creator is certain that they ended.
        self.assertGreaterEqual(last["removed_there"], 7)
        self.assertEqual((last["refused"], last["not_judged"], last["mended_here"]), (0, 0, 0), last)
        self.assertEqual(b.ask("show", what="counters")["counters"]["repaired"], last["mended_there"] + last["removed_there"])
        print(f"# {last['different']} of {STATES} states mended: {last['bytes_sent'] + last['bytes_received']} bytes in {last['requests']} requests, "
              f"{traffic} on the wire with TLS, in {last['seconds']:.1f} s", flush=True)

        again = a.ctl("resync")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("none differs", again.stdout)
        whole = a.ctl("resync", "--full")
        self.assertIn("a bulk update was asked for", whole.stdout)
        one = a.ctl("resync", "--full", "--peer", "192.0.2.2")
        self.assertEqual((one.returncode, one.stdout), (0, "that peer was asked for a bulk update.\n"), one.stderr)
        self.assertIn("is no peer of this node", a.ctl("resync", "--full", "--peer", "192.0.2.9").stderr)
        self.assertIn("5 comparisons, 0 failed", a.ctl("show", "divergence").stdout)
        # B has no peer of configuration sync, and says so; it asks for everything instead.
        refused = b.ctl("diff")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("config_sync.peer", refused.stderr)
        self.assertIn("a bulk update was asked for", b.ctl("resync").stdout)
        self.hostile(a)
        # Each asks the other for single states, as it would a kernel, and finds them the same.
        sampling = lambda node: node.ask("show", what="peers")["peers"][0]["sampling"]
        before = [sampling(node) for node in (a, b)]  # one that was asked for before all was mended may differ
        tap.eventually(lambda: all(sampling(node)["same"] > was["same"] for node, was in zip((a, b), before)), PATIENCE_S, "samples of the peer's states")
        for node, was in zip((a, b), before):
            self.assertEqual((sampling(node)["different"], sampling(node)["answering"]), (was["different"], True), sampling(node))
        self.assertRegex(a.ctl("show", "peers").stdout, r"samples +0\.00 % of the states differ")

    def mgmt_bytes(self):
        link = json.loads(run("ip", "-n", self.namespaces[0], "-j", "-s", "link", "show", "mgmt-0"))[0]
        return link["stats64"]["rx"]["bytes"] + link["stats64"]["tx"]["bytes"]

    def hostile(self, a):
        """Whoever has A's key may ask, and no more than that."""
        keys = next(a.state_dir.rglob("node.key")).parent
        script = f"""
import http.client, ssl, json
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.load_cert_chain({str(keys / "node.pem")!r}, {str(keys / "node.key")!r})
def ask(method, body):
    connection = http.client.HTTPSConnection("10.1.0.2", {PORT}, context=context, timeout=30)
    connection.request(method, "/divergence", body)
    answer = connection.getresponse()
    return [answer.status, answer.read(2000).decode("latin-1")]
print(json.dumps([ask("POST", b"nonsense"), ask("POST", b"x" * 200_000), ask("GET", None), ask("POST", b"pfdv\\1\\0" + bytes(8) + b"\\x09")]))
"""
        done = run("ip", "netns", "exec", self.namespaces[0], sys.executable, "-c", script)
        nonsense, large, got, begun = json.loads(done)
        self.assertEqual(nonsense[0], 200)
        self.assertIn("that is no request of a comparison", nonsense[1])
        self.assertEqual((large[0], got[0], begun[0]), (413, 405, 200))
        self.assertTrue(begun[1].startswith("pfdv"))


if __name__ == "__main__":
    sys.exit(tap.main())

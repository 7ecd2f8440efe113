"""scripts/pair.py: what scripts/run shows, in small."""
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.request

import tap

PAIR = tap.ROOT / "scripts/pair.py"


class Pair(unittest.TestCase):
    maxDiff = None  # what the pair says is why

    def start(self, *arguments):
        self.folder = tempfile.TemporaryDirectory(prefix="pfsync-smoke-")
        self.addCleanup(self.folder.cleanup)
        self.process = subprocess.Popen([sys.executable, str(PAIR), "--pfsyncd", str(tap.PFSYNCD), *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=os.environ | {"TMPDIR": self.folder.name})
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.stderr.close)
        self.addCleanup(self.stop)
        self.out = ""

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()

    def read_until(self, words):
        for line in self.process.stdout:
            self.out += line
            if words in line:
                return line
        self.fail(f"it ended without \"{words}\": {self.out}{self.process.stderr.read()}")

    def finish(self):
        out, err = self.process.communicate(timeout=120)
        return self.out + out, err

    def assert_nothing_left(self, out):
        self.assertEqual(os.listdir(self.folder.name), [])
        pids = re.findall(r"\(pid (\d+)\)", out)
        self.assertTrue(pids)
        for pid in pids:
            self.assertFalse(os.path.exists(f"/proc/{pid}"), f"process {pid} is still there")

    def test_both_hold_the_same_in_the_end(self):
        self.check_once()

    def test_both_hold_the_same_with_two_data_path_cores_each(self):
        self.check_once("--data-cores", "2")

    def check_once(self, *arguments):
        self.start("--once", "--states", "20000", "--live-s", "2", *arguments)
        out, err = self.finish()
        self.assertEqual((self.process.returncode, err), (0, ""), out)
        found = re.findall(r"^  ([AB]) +([\d,]+) states +digest ([0-9a-f]{32})$", out, re.MULTILINE)
        (a, states_a, digest_a), (b, states_b, digest_b) = found
        self.assertEqual((a, b), ("A", "B"))
        self.assertEqual((states_a, digest_a), (states_b, digest_b))
        self.assertGreaterEqual(int(states_a.replace(",", "")), 20_000)
        self.assertIn("The digests agree", out.splitlines()[-1])
        self.assert_nothing_left(out)

    def test_ctrl_c_ends_the_status_page_and_both_daemons(self):
        self.start("--states", "2000", "--live-s", "1")
        for name, creatorid in (("A", "0000000a"), ("B", "0000000b")):
            url = re.search(r"https://127.0.0.1:\d+/", self.read_until(f"{name}'s page")).group()
            insecure = ssl.create_default_context()
            insecure.check_hostname = False
            insecure.verify_mode = ssl.CERT_NONE
            with urllib.request.urlopen(url + "api/show/status", timeout=20, context=insecure) as answer:
                self.assertEqual(json.load(answer)["creatorid"], creatorid)
        self.read_until("Ctrl-C ends both")
        page = self.read_until("change/s")
        self.assertRegex(page, r"^A [\d,]+ states, .* health good; B [\d,]+ states, .* health good$")
        self.process.send_signal(signal.SIGINT)
        out, err = self.finish()
        self.assertEqual((self.process.returncode, err), (0, ""), out)
        self.assertIn("A and B are ended", out)
        self.assert_nothing_left(out)

    def test_sigterm_while_filling_leaves_nothing(self):
        self.start("--once", "--states", "1000000")
        self.read_until("filling A")
        self.process.terminate()
        out, _ = self.finish()
        self.assertEqual(self.process.returncode, 128 + signal.SIGTERM, out)
        self.assert_nothing_left(out)

    def test_a_daemon_that_dies_is_said_in_one_sentence_with_its_log(self):
        self.start("--states", "2000", "--live-s", "1")
        pid = int(re.search(r"B runs \(pid (\d+)\)", self.read_until("B runs")).group(1))
        self.read_until("Ctrl-C ends both")
        os.kill(pid, signal.SIGKILL)
        out, err = self.finish()
        self.assertEqual(self.process.returncode, 1, out)
        first, *log = err.splitlines()
        self.assertEqual(first, "pair: pfsyncd B ended too early, by SIGKILL.")
        self.assertIn("bulk update: complete", "\n".join(log))
        self.assert_nothing_left(out)

    def test_a_program_that_is_not_there(self):
        self.start("--once", "--pfsyncd", "/nonexistent/pfsyncd")
        _, err = self.finish()
        self.assertEqual(self.process.returncode, 1)
        self.assertRegex(err, r"^pair: /nonexistent/pfsyncd cannot be started .*\.\n$")
        self.assertEqual(os.listdir(self.folder.name), [])


if __name__ == "__main__":
    sys.exit(tap.main())

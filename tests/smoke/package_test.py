"""A newcomer's path: install the package on a machine that has nothing of ours, write five lines, start the service, see healthy."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import clean_root
import tap

from daemon import Daemon

BUILD = os.environ.get("PFSYNC_BUILD", "")
SOON_S = 30  # what a busy machine may take
STATES = 3000

FIVE_LINES = """[link]
device = "eth1"
address = "192.0.2.3/24"
[table]
states_max = 20000
"""
FIREWALL = f"""[link]
device = "sync-b"
address = "192.0.2.1/24"
[table]
states_max = 20000
[synthetic]
states = {STATES}
fill_per_s = 20000
new_per_s = 0
updates_per_s = 1000
"""
EXPECTED = """/etc/pfsyncd/pfsyncd.toml
/lib/systemd/system/pfsyncd.service
/usr/lib/sysusers.d/pfsyncd.conf
/usr/bin/pfsync-replay
/usr/bin/pfsyncctl
/usr/sbin/pfsyncd
/usr/share/bash-completion/completions/pfsyncctl
/usr/share/doc/pfsyncd/copyright
/usr/share/man/man1/pfsync-replay.1.gz
/usr/share/man/man5/pfsyncd.toml.5.gz
/usr/share/man/man8/pfsyncctl.8.gz
/usr/share/man/man8/pfsyncd.8.gz
/usr/share/pfsyncd/pfsync.lua""".splitlines()


class Newcomer(unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("only root can install a package")
        folder = tempfile.TemporaryDirectory(prefix="pfsync-smoke-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.root = self.folder / "root"
        self.root.mkdir(mode=0o755)
        self.namespaces = [f"pfsync{os.getpid()}{side}" for side in "ab"]
        try:
            for namespace in self.namespaces:
                clean_root.run("ip", "netns", "add", namespace)
                self.addCleanup(clean_root.run, "ip", "netns", "del", namespace)
            inside = self.namespaces[0]
            clean_root.run("ip", "link", "add", "eth1", "netns", inside, "type", "veth", "peer", "name", "sync-b", "netns",
                           self.namespaces[1])
            clean_root.run("ip", "-n", inside, "link", "set", "eth1", "up")
            clean_root.run("ip", "-n", self.namespaces[1], "link", "set", "sync-b", "up")
            clean_root.run("ip", "netns", "exec", inside, "chroot", "/", "true")
        except OSError as error:
            self.skipTest(f"no network namespaces with a veth pair can be had here: {error}")

    def there(self, *command, check=True, environment=()):
        """As on that machine: its root, its network, its processes' files."""
        script = ("mount --rbind /sys \"$0/sys\" && mount --rbind /dev \"$0/dev\" && mount -t proc proc \"$0/proc\" && "
                  "exec chroot \"$0\" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \"$@\"")
        whole = ["ip", "netns", "exec", self.namespaces[0], "sh", "-c", script, str(self.root), *environment, *map(str, command)]
        if check is None:
            return whole
        done = subprocess.run(whole, capture_output=True, text=True, timeout=SOON_S, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done

    def install(self):
        made = subprocess.run([sys.executable, tap.ROOT / "scripts/package", BUILD, self.folder], capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.deb = pathlib.Path(made.stdout.strip())
        needs = clean_root.run("dpkg-deb", "-f", self.deb, "Depends")
        clean_root.make(self.root, [clause[0] for clause in clean_root.clauses(needs)])
        shutil.copyfile(self.deb, self.root / "tmp/it.deb")
        self.assertEqual(self.there("dpkg", "-i", "/tmp/it.deb").stderr, "")
        self.assertEqual(self.there("dpkg", "--verify", "pfsyncd").stdout, "")
        listed = self.there("dpkg", "-L", "pfsyncd").stdout.splitlines()
        self.assertEqual([file for file in EXPECTED if file not in listed], [])
        for script in (tap.ROOT / "scripts").glob("*"):
            if script.suffix in (".lua", ".json", ".yml"):
                self.assertIn(f"/usr/share/pfsyncd/{script.name}", listed)
        users = (self.root / "etc/passwd").read_text()
        self.uid = re.search(r"^pfsyncd:[^:]*:(\d+):", users, re.MULTILINE).group(1)
        self.assertEqual(str((self.root / "var/lib/pfsyncd").stat().st_uid), self.uid)
        self.config = self.root / "etc/pfsyncd/pfsyncd.toml"
        self.assertEqual(self.config.stat().st_mode & 0o777, 0o640)
        for program in ("pfsyncd", "pfsyncctl", "pfsync-replay"):
            self.there(program, "--help")

    def start(self):
        """As the unit says. Returns once the service manager would say that it is active."""
        unit = (self.root / "lib/systemd/system/pfsyncd.service").read_text()
        command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE).group(1).split()
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(str(self.root / "run/notify"))
        (self.root / "run/notify").chmod(0o777)
        manager.settimeout(SOON_S)
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.there(*command, check=None, environment=["NOTIFY_SOCKET=/run/notify"]), stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(self.stop)
        until = time.monotonic() + SOON_S
        while b"READY=1" not in manager.recv(4096):
            self.assertLess(time.monotonic(), until, self.log.read_text())
            self.assertIsNone(self.process.poll(), self.log.read_text())

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(SOON_S)

    def test_from_the_package_to_healthy_and_away_again(self):
        firewall = Daemon("B", tap.PFSYNCD, self.folder, FIREWALL, prefix=["ip", "netns", "exec", self.namespaces[1]])
        firewall.start()
        self.addCleanup(firewall.end)
        self.install()
        firewall.await_socket(SOON_S)
        tap.eventually(lambda: firewall.status()["states"] == STATES, SOON_S, "the firewall has its connections")
        self.config.write_text(FIVE_LINES)
        self.start()
        status = self.there("pfsyncctl", "show", "status", check=False)
        self.assertEqual(status.returncode, 0, status.stdout + status.stderr + self.log.read_text())
        self.assertIn("healthy", status.stdout)
        self.assertIn(f"{STATES}\n", status.stdout)
        uids = re.search(r"^Uid:\s+(.*)$", pathlib.Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE).group(1)
        self.assertEqual(uids.split(), [self.uid] * 4)
        self.assertEqual(self.there("pfsyncctl", "reload").stdout, "nothing differs from the configuration at work.\n")
        self.assertEqual(self.stop(), 0)
        self.remove()

    def remove(self):
        self.there("dpkg", "--remove", "pfsyncd")
        self.assertEqual([file for file in EXPECTED if (self.root / file.lstrip("/")).exists()], ["/etc/pfsyncd/pfsyncd.toml"])
        self.assertEqual(self.config.read_text(), FIVE_LINES)
        self.there("dpkg", "--purge", "pfsyncd")
        self.assertFalse((self.root / "etc/pfsyncd").exists())
        self.assertFalse((self.root / "var/lib/pfsyncd").exists())
        self.assertNotIn("pfsyncd", (self.root / "var/lib/dpkg/status").read_text())


if __name__ == "__main__":
    sys.exit(tap.main())

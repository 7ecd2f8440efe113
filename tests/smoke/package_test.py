"""A newcomer's path: install the package on a machine that has nothing of ours, write five lines, start the service, see healthy.

Once with nothing but what the package depends on, once under systemd itself: booted in namespaces of its own.
"""
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
/usr/lib/tmpfiles.d/pfsyncd.conf
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


class Installed(unittest.TestCase):
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

    def install(self, *packages):
        made = subprocess.run([sys.executable, tap.ROOT / "scripts/package", BUILD, self.folder], capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.deb = pathlib.Path(made.stdout.strip())
        needs = clean_root.run("dpkg-deb", "-f", self.deb, "Depends")
        clean_root.make(self.root, [*(clause[0] for clause in clean_root.clauses(needs)), *packages])
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

    def start_firewall(self):
        self.firewall = Daemon("B", tap.PFSYNCD, self.folder, FIREWALL, prefix=["ip", "netns", "exec", self.namespaces[1]])
        self.firewall.start()
        self.addCleanup(self.firewall.end)
        self.firewall.await_socket(SOON_S)
        tap.eventually(lambda: self.firewall.status()["states"] == STATES, SOON_S, "the firewall has its connections")

    def is_all_told_in(self, status):
        """Whether what a node's status says are all states of the firewall, of which one that nobody has used for long times out."""
        states = self.firewall.status()["states"]
        self.assertGreater(states, 0.99 * STATES)
        return f" {states}\n" in status


class Newcomer(Installed):
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
        self.start_firewall()
        self.install()
        self.config.write_text(FIVE_LINES)
        self.start()
        status = self.there("pfsyncctl", "show", "status", check=False)
        self.assertEqual(status.returncode, 0, status.stdout + status.stderr + self.log.read_text())
        self.assertIn("healthy", status.stdout)
        tap.eventually(lambda: self.is_all_told_in(self.there("pfsyncctl", "show", "status", check=False).stdout), SOON_S, "all states are there")
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


# A machine's own /dev, /run and control groups, then systemd as its first process.
BOOT = """
mount --make-rprivate / && mount --bind "$0" "$0" && mount -t tmpfs tmpfs "$0/run" && mkdir "$0/run/lock" || exit 1
mount -t sysfs -o ro sysfs "$0/sys" && mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup" && mount -t proc proc "$0/proc" || exit 1
mount -t tmpfs tmpfs "$0/dev" && mkdir "$0/dev/pts" "$0/dev/shm" && mount -t tmpfs tmpfs "$0/dev/shm" || exit 1
for device in null zero full random urandom tty; do cp -a "/dev/$device" "$0/dev/" || exit 1; done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts" && ln -s pts/ptmx "$0/dev/ptmx" || exit 1
exec env -i PATH=/usr/sbin:/usr/bin container=pfsync-smoke chroot "$0" /lib/systemd/systemd --log-target=console systemd.unit=multi-user.target
"""
WATCHDOG_S = 2
EXPOSURE_MAX = 36  # it begins as root, to open the port; that and the network are what is left


class Systemd(Installed):
    def boot(self):
        """Skips the test where it cannot be had."""
        mounted = re.search(r"^\S+ (\S+) cgroup2 rw", pathlib.Path("/proc/mounts").read_text(), re.MULTILINE)
        if not mounted:
            self.skipTest("systemd needs control groups (cgroup2), and they cannot be written to here")
        group = pathlib.Path(mounted.group(1)) / f"pfsync-smoke-{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            self.skipTest(f"no control group can be made here: {error}")
        self.addCleanup(self.remove_groups, group)
        (self.root / "etc/machine-id").write_text(f"{os.getpid():032x}\n")
        unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup"]
        self.console = self.folder / "console"
        with open(self.console, "wb") as console:
            outer = subprocess.Popen(["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', group, "ip", "netns", "exec", self.namespaces[0],
                                      *unshare, "sh", "-c", BOOT, self.root], stdout=console, stderr=console, stdin=subprocess.DEVNULL)
        self.addCleanup(outer.wait)
        self.addCleanup(outer.kill)
        self.first = None
        until = time.monotonic() + SOON_S
        while outer.poll() is None and time.monotonic() < until:
            children = pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            self.first = children[0] if children else None
            if self.first and self.inside("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                return
            time.sleep(0.1)
        if outer.poll() is not None:
            self.skipTest(f"systemd cannot be booted here: {' '.join(self.console.read_text().split()[-40:])}")
        raise AssertionError(f"systemd has not come up: {self.console.read_text()}")

    def remove_groups(self, group):
        def gone():
            for folder in sorted(group.glob("**/"), reverse=True):
                try:
                    folder.rmdir()
                except OSError:
                    pass
            return not group.exists()
        tap.eventually(gone, SOON_S, "the processes in there have ended")

    def inside(self, *command, check=True):
        done = subprocess.run(["nsenter", "-t", self.first, "--all", "--root", "--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin", *map(str, command)],
                              capture_output=True, text=True, timeout=SOON_S, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}{self.inside('journalctl', '-u', 'pfsyncd', check=False).stdout}")
        return done

    def analyze(self):
        """What systemd-analyze says of the unit. Exposure is out of 100: 96 has a service without any restriction."""
        unit = "/lib/systemd/system/pfsyncd.service"
        verified = self.there("systemd-analyze", "verify", "--man=no", unit, check=False)
        self.assertEqual((verified.returncode, verified.stdout, verified.stderr), (0, "", ""))
        exposed = self.there("systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", unit, check=False)
        self.assertEqual(exposed.returncode, 0, exposed.stdout + exposed.stderr)
        self.assertIn("Overall exposure level for pfsyncd.service", exposed.stdout)

    def about(self, name):
        return self.inside("systemctl", "show", "--property", name, "--value", "pfsyncd").stdout.strip()

    def signal_main(self, signal):
        self.inside("sh", "-c", f"kill -{signal} {self.about('MainPID')}")

    def is_back(self, restarts):
        return self.about("NRestarts") == str(restarts) and self.about("ActiveState") == "active" and \
            self.is_all_told_in(self.inside("pfsyncctl", "show", "status", check=False).stdout)

    def test_the_service_under_systemd_itself(self):
        self.start_firewall()
        try:
            self.install("systemd", "dbus")
        except ValueError as missing:
            self.skipTest(str(missing))
        self.analyze()
        self.config.write_text(FIVE_LINES)
        short = self.root / "etc/systemd/system/pfsyncd.service.d/short.conf"
        short.parent.mkdir(parents=True)
        short.write_text(f"[Service]\nWatchdogSec={WATCHDOG_S}\n")
        self.boot()
        self.inside("systemctl", "enable", "--now", "pfsyncd")  # returns when the states are here
        tap.eventually(lambda: self.is_all_told_in(self.inside("pfsyncctl", "show", "status").stdout), SOON_S, "all states are there")
        self.assertIn("healthy", self.about("StatusText"))
        about = self.inside("cat", f"/proc/{self.about('MainPID')}/status").stdout
        self.assertRegex(about, rf"(?m)^Uid:\s+{self.uid}\s+{self.uid}\s+{self.uid}\s+{self.uid}$")
        self.assertRegex(about, r"(?m)^CapEff:\s+0+$")
        self.assertNotIn("seccomp(2) failed", self.inside("journalctl", "-u", "pfsyncd").stdout)

        self.config.write_text(FIVE_LINES + "[log]\nlevel = \"debug\"\n")
        self.inside("systemctl", "reload", "pfsyncd")
        about = (self.root / "var/lib/pfsyncd").stat()
        self.assertEqual((str(about.st_uid), about.st_mode & 0o777), (self.uid, 0o750))  # it is still the daemon's to write to
        self.assertIn("log.level", self.inside("journalctl", "-u", "pfsyncd").stdout)
        self.config.write_text("[link\n")
        self.assertNotEqual(self.inside("systemctl", "reload", "pfsyncd", check=False).returncode, 0)
        self.assertEqual(self.about("ActiveState"), "active")
        self.config.write_text(FIVE_LINES)

        self.signal_main("KILL")
        tap.eventually(lambda: self.is_back(1), SOON_S, "it is started again")
        self.signal_main("STOP")
        tap.eventually(lambda: self.is_back(2), SOON_S, "the watchdog has it started again")
        self.inside("systemctl", "stop", "pfsyncd")
        self.config.write_text("[link\n")
        self.assertNotEqual(self.inside("systemctl", "start", "pfsyncd", check=False).returncode, 0)
        self.assertEqual((self.about("ActiveState"), self.about("ExecMainStatus")), ("failed", "2"))  # not again and again
        self.config.write_text(FIVE_LINES)
        self.inside("systemctl", "start", "pfsyncd")
        self.inside("systemctl", "stop", "pfsyncd")
        self.assertEqual((self.about("ActiveState"), self.about("Result")), ("inactive", "success"))


if __name__ == "__main__":
    sys.exit(tap.main())

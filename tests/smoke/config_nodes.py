"""What the tests of configuration synchronization are made of: nodes, their files, and a way between two of them that can be held up."""
import ctypes
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import tap

from daemon import Daemon, Trouble

PFSYNCCTL = os.environ.get("PFSYNCCTL", "")
PATIENCE_S = 30  # what a busy machine may take; what is measured is printed
PORT, RELAY_PORT = 8444, 8445
CLONE_NEWNET = 0x40000000  # setns(2)

libc = ctypes.CDLL(None)

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
        try:
            self.await_socket(PATIENCE_S)
        except Trouble as trouble:
            raise AssertionError("\n".join([str(trouble), *self.last_words()])) from trouble
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


class Between(threading.Thread):
    """The way from the primary to the other node, in the primary's namespace. All passes until hold(): then, from the first connection on that
    finds its condition true, all are kept open and unanswered, until release()."""

    def __init__(self, case, namespace, port, target):
        super().__init__(daemon=True)
        self.namespace, self.port, self.target = namespace, port, target
        self.condition, self.passed, self.over = None, 0, False
        self.kept, self.ready = threading.Event(), threading.Event()
        self.waiting = []
        self.lock = threading.Lock()
        self.start()
        case.addCleanup(self.end)
        if not self.ready.wait(PATIENCE_S):
            raise AssertionError("nothing listens between the nodes")

    def hold(self, condition):
        with self.lock:
            self.condition, self.passed = condition, 0
            self.kept.clear()

    def release(self):
        with self.lock:
            self.condition = None
            self.kept.clear()
            for client in self.waiting:
                client.close()
            self.waiting.clear()

    def end(self):
        self.over = True
        self.join(PATIENCE_S)
        self.release()

    def run(self):
        with open(f"/var/run/netns/{self.namespace}") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:  # of this thread
                return
        with socket.create_server(("127.0.0.1", self.port)) as listener:
            listener.settimeout(0.1)
            self.ready.set()
            while not self.over:
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                with self.lock:
                    if self.condition is not None and (self.kept.is_set() or self.condition()):
                        self.waiting.append(client)
                        self.kept.set()
                        continue
                self.carry(client)
                self.passed += 1

    def carry(self, client):
        """There is one call at a time."""
        try:
            with client, socket.create_connection(self.target, timeout=PATIENCE_S) as server:
                client.settimeout(PATIENCE_S)
                while not self.over:
                    for readable in select.select([client, server], [], [], 0.1)[0]:
                        data = readable.recv(1 << 16)
                        if not data:
                            return
                        (server if readable is client else client).sendall(data)
        except OSError:
            pass

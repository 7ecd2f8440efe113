#!/usr/bin/env python3
"""The main job on one machine: two pfsyncd on a link inside it keep one table.

A plays a firewall: it opens, uses and closes connections. B comes up later, asks for everything, and
follows. At the end both must have the same digest.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # leave the source tree as it is

from daemon import Daemon, Trouble, compare, differences
from screen import Rates, Screen, bar

START_S = 20        # for a control socket to appear; some seconds on a busy machine
STALL_S = 60        # without any progress while filling or in the bulk update
AGREE_S = 60        # for the digests to become equal once the load stands still
FILL_PER_S = 40_000
PAGE_PORTS = {"A": 8443, "B": 8444}  # of the status pages; others where these are taken
MARGIN = 1.05       # states that expire before they are used again must not make it fewer than promised

CONFIG = """
[link]
device = "net_memif0,role={role},socket-abstract=no,socket={link},id=0,rsize=12"
address = "192.0.2.{host}/24"

[table]
states_max = {states_max}

[sync]
creatorid = "{creatorid}"

[cores]
data_cores = {data_cores}
"""
HTTP = """
[http]
listen = "127.0.0.1:{port}"
"""
SYNTHETIC = """
[synthetic]
states = {states}
fill_per_s = {fill_per_s}
"""


class Stopped(Exception):
    """A signal asked us to end."""


class Pause:
    """Lets time pass, until a signal asks us to end: only then and here, never amid starting a process."""

    signals = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}

    def __init__(self):
        self.signal = None
        for which in self.signals:
            signal.signal(which, self._on_signal)

    def _on_signal(self, which, _):
        self.signal = which

    def __call__(self, seconds):
        until = time.monotonic() + seconds
        while self.signal is None:
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))
        raise Stopped


class Pair:
    def __init__(self, program, folder, states, data_cores, screen, wait, pages):
        self.screen = screen
        self.wait = wait
        self.states = states
        self.held = int(states * MARGIN)
        common = {"link": folder / "link.sock", "states_max": max(4 * self.held, 1000),
                  "data_cores": data_cores}
        a = CONFIG.format(role="server", host=1, creatorid="0000000a", **common)
        b = CONFIG.format(role="client", host=2, creatorid="0000000b", **common)
        a += SYNTHETIC.format(states=self.held, fill_per_s=FILL_PER_S)
        self.pages = {}
        for name, text in (("A", a), ("B", b)):
            if pages:
                self.pages[name] = free_port(PAGE_PORTS[name], self.pages.values())
                text += HTTP.format(port=self.pages[name])
            daemon = Daemon(name, program, folder, text, self.wait, state_dir=folder / f"state-{name}")
            setattr(self, name.lower(), daemon)

    def fill(self):
        self.a.start()
        self.a.await_socket(START_S)
        self.screen.say(f"A runs (pid {self.a.process.pid}) and plays a firewall: filling it with {self.held:,} states")
        began = moved = time.monotonic()
        rates, opened = Rates(), -1
        while opened < self.held:
            status = self.a.status()
            rate = rates(status["synthetic"])["opened"]
            if status["synthetic"]["opened"] > opened:
                opened, moved = status["synthetic"]["opened"], time.monotonic()
            elif time.monotonic() > moved + STALL_S:
                raise Trouble(f"A has opened no connection for {STALL_S} seconds, at {status['states']:,} states", self.a)
            self.screen.progress(f"  filling A     {bar(opened, self.held)}  {status['states']:>9,} states  {rate:>9,.0f}/s")
            self.wait(0.25)
        took = time.monotonic() - began
        self.screen.say(f"  filling A     {bar(1, 1)}  {self.a.status()['states']:>9,} states in {took:.1f} s; the load goes on")

    def join(self):
        """B comes up and asks for everything."""
        self.b.start()
        self.b.await_socket(START_S)
        self.screen.say(f"B runs (pid {self.b.process.pid}), comes up empty and asks A for everything")
        began = moved = time.monotonic()
        rates, seen = Rates(), None
        while True:
            bulk = self.b.status()["bulk"]
            received, total = bulk["states_received"], self.a.status()["serving"]["states_total"] or self.held
            if bulk["phase"] == "done":
                break
            if bulk["phase"] == "failed":
                raise Trouble(f"the bulk update failed after {bulk['tries']} tries, at {received:,} states", self.b)
            if (bulk["phase"], received) != seen:
                seen, moved = (bulk["phase"], received), time.monotonic()
            elif time.monotonic() > moved + STALL_S:
                raise Trouble(f"the bulk update stands still in phase \"{bulk['phase']}\", at {received:,} states", self.b)
            rate = rates({"states": received})["states"]
            eta = f"{max(total - received, 0) / rate:4.1f} s left" if rate > 0 else ""
            self.screen.progress(f"  bulk update   {bar(received, total)}  {received:>9,} of {total:,}  {rate:>9,.0f}/s  {eta}")
            self.wait(0.25)
        took = time.monotonic() - began
        self.screen.say(f"  bulk update   {bar(1, 1)}  {received:>9,} states in {took:.1f} s  {received / took:>9,.0f}/s (live ones among them)")

    def live(self, seconds):
        until = time.monotonic() + seconds
        rates = {"A": Rates(), "B": Rates()}
        text = ""
        while time.monotonic() < until:
            load, a = self._rates(self.a, rates["A"])
            _, b = self._rates(self.b, rates["B"])
            if text or load["updated"]:
                text = (f"  live sync     A opens {load['opened']:,.0f}/s, uses {load['updated']:,.0f}/s, closes {load['closed']:,.0f}/s"
                        f" -> {a['opackets']:,.0f} packets/s -> B enters {b['inserts']:,.0f}/s, changes {b['updates']:,.0f}/s,"
                        f" removes {b['removals']:,.0f}/s")
                self.screen.progress(text)
            self.wait(min(1.0, seconds))
        self.screen.end_line()
        if (held := self.a.status()["states"]) < self.states:
            raise Trouble(f"A holds {held:,} states, fewer than the {self.states:,} asked for", self.a)

    @staticmethod
    def _rates(daemon, rates):
        """(rates of the load or None, rates of the totals)"""
        status = daemon.status()
        words = status["totals"] | {"load " + word: value for word, value in (status["synthetic"] or {}).items()}
        found = rates(words)
        return {word[5:]: rate for word, rate in found.items() if word.startswith("load ")}, found

    def agree(self):
        """Stops the load and compares. States expire meanwhile: on A first, a moment later on B; so again until equal."""
        self.a.ask("synthetic", run=False)
        until = time.monotonic() + AGREE_S
        while True:
            a, b, same = compare(self.a, self.b)
            if same:
                break
            if time.monotonic() > until:
                self._say_digests(a, b)
                for daemon in (self.a, self.b):
                    counted = daemon.ask("show", what="counters")
                    counted = counted["counters"] | counted["outside"]
                    self.screen.say(f"  {daemon.name} counted  " + ", ".join(f"{word} {value:,}" for word, value in counted.items() if value))
                raise Trouble(f"the digests still differ {AGREE_S} seconds after the load stopped: {differences(self.a, self.b)}", self.b)
            self.screen.progress(f"  load stopped: A {a['states']:,} states, {a['queued']:,} changes queued; B {b['states']:,} states")
            self.wait(0.25)
        self._say_digests(a, b)
        self.screen.say(f"The digests agree: both hold the same {a['digest_states']:,} states.")

    def _say_digests(self, a, b):
        for name, status in (("A", a), ("B", b)):
            self.screen.say(f"  {name}  {status['digest_states']:>9,} states   digest {status['digest']}")

    def watch(self):
        """The status, here and as a web page, until a signal ends it."""
        self.a.ask("synthetic", run=True)
        began = time.monotonic()
        rates = {"A": Rates(), "B": Rates()}
        for name, port in self.pages.items():
            self.screen.say(f"  {name}'s page    https://127.0.0.1:{port}/    (its certificate is its own: the browser asks once)")
        if self.pages:
            ctl = os.path.relpath(self.a.command[0].replace("dpdk/pfsyncd", "ctl/pfsyncctl"))
            self.screen.say(f"  to change something there: {ctl} user --file {self.a.config.parent}/state-A/users add NAME")
        self.screen.say("The load goes on. Ctrl-C ends both.")
        while True:
            lines = [f"  after {time.monotonic() - began:,.0f} s    states    enter/s   change/s   remove/s  packets/s  queued  bulk       health"]
            plain = []
            for daemon in (self.a, self.b):
                status = daemon.status()
                rate = rates[daemon.name](status["totals"])
                packets = rate["opackets" if daemon is self.a else "ipackets"]
                health = "good" if status["healthy"] else "NOT GOOD"
                lines.append(f"  {daemon.name} {status['states']:>18,} {rate['inserts']:>10,.0f} {rate['updates']:>10,.0f} "
                             f"{rate['removals']:>10,.0f} {packets:>10,.0f} {status['queued']:>7,}  {status['bulk']['phase']:<9}  "
                             f"{health}: {status['reason']}")
                plain.append(f"{daemon.name} {status['states']:,} states, {rate['inserts']:,.0f} enter/s, {rate['updates']:,.0f} change/s, "
                             f"{rate['removals']:,.0f} remove/s, health {health}")
            self.screen.page(lines, "; ".join(plain))
            self.wait(1.0)

    def end(self):
        for daemon in (self.b, self.a):
            daemon.end()


def free_port(wanted, taken):
    """That port of loopback, or any when somebody has it."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if probe.getsockname()[1] not in taken:
                return probe.getsockname()[1]
    raise Trouble("no port is free on 127.0.0.1 for the status page: end what takes them")


def temporary_folder():
    """Private (mode 700). Its name stands in a device's options and in a socket's path: no comma, and short."""
    base = tempfile.gettempdir()
    if not re.fullmatch(r"[A-Za-z0-9_./-]{1,70}", base):
        base = "/tmp"
    try:
        return pathlib.Path(tempfile.mkdtemp(prefix="pfsync-pair-", dir=base))
    except OSError as error:
        raise Trouble(f"no folder can be made in {base} ({error.strerror}): free space there, or set TMPDIR") from error


def number(low, high):
    def parse(text):
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"\"{text}\" is not a number from {low} to {high}")
        return int(text)
    return parse


def arguments():
    built = pathlib.Path(__file__).resolve().parent.parent / "build/engine/dpdk/pfsyncd"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pfsyncd", type=pathlib.Path, default=built, help="the program (default: as scripts/build leaves it)")
    parser.add_argument("--once", action="store_true", help="end when the digests agreed")
    parser.add_argument("--states", type=number(100, 10_000_000), default=100_000, help="states to fill A with at least")
    parser.add_argument("--live-s", type=number(1, 86_400), default=5, help="seconds of live sync before the comparison")
    parser.add_argument("--data-cores", type=number(1, 4), default=1, help="data-path cores of each")
    return parser.parse_args()


def main():
    options = arguments()
    screen, pause = Screen(), Pause()
    folder = pair = None
    agreed = False
    try:
        folder = temporary_folder()
        pair = Pair(options.pfsyncd, folder, options.states, options.data_cores, screen, pause,
                    pages=not options.once)
        pair.fill()
        pair.join()
        pair.live(options.live_s)
        pair.agree()
        agreed = True
        if not options.once:
            pair.watch()
        return 0
    except Stopped:
        screen.end_line()
        if pair is not None:
            pair.end()
        screen.say(f"{pause.signals[pause.signal]}: A and B are ended.")
        # Without --once a signal is the ordinary end.
        return 0 if agreed and not options.once else 128 + pause.signal
    except Trouble as trouble:
        screen.end_line()
        print(f"pair: {trouble}.", file=sys.stderr)
        words = trouble.daemon.last_words() if trouble.daemon else []
        if words:
            print(f"The last lines of {trouble.daemon.name}'s log:", *("  " + word for word in words), sep="\n", file=sys.stderr)
        return 1
    except BrokenPipeError:  # nobody reads any more; python would try to flush once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        if pair is not None:
            pair.end()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

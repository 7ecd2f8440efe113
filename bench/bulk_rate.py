#!/usr/bin/env python3
"""How long does an empty node take to get every state of a full one? Two pfsyncd, pacing off, nothing else going on.
And what do new states cost, both ends together, while the full one becomes full?

With --live N the full one goes on updating N states a second meanwhile, and the time is held against that of the same port driven
by a plain sender (link_rate.py's) for as many frames.

Beside it, with --vs-conntrackd and in the same run: conntrackd's resync (-n) of as many entries over the same kind of veth.
The conntrackd part needs root and Debian's conntrackd and conntrack; it raises net.netfilter.nf_conntrack_max and
nf_conntrack_buckets, which are the whole machine's, while it runs. Namespaces and processes are its own, and ended.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "bench")]

import link_rate  # noqa: E402
from daemon import Daemon, Trouble, compare, differences  # noqa: E402

PATIENCE_S = 120
STATES_A_FRAME, FRAME_BYTES = 6, 1514  # full states of 1301 with an MTU of 1500

CONFIG = """
[link]
device = "{device}"
address = "192.0.2.{host}/24"
[table]
states_max = {states_max}
[table.timeouts]
tcp_first = 86400
[sync]
creatorid = "0000000{host}"
bulk_states_per_s = 0
request_bulk = false
"""
SYNTHETIC = """
[synthetic]
states = {states}
fill_per_s = 20000000
new_per_s = 0
updates_per_s = {live}
tcp_percent = 100
udp_percent = 0
"""
CONNTRACKD = """
Sync {{
  Mode FTFW {{
    ResendQueueSize 131072
    PurgeTimeout 60
    ACKWindowSize 300
    DisableExternalCache Off
  }}
  UDP {{
    IPv4_address 192.0.2.{host}
    IPv4_Destination_Address 192.0.2.{peer}
    Port 3780
    Interface {interface}
    SndSocketBuffer 33554432
    RcvSocketBuffer 33554432
    Checksum off
  }}
}}
General {{
  HashSize 1048576
  HashLimit 4194304
  LogFile {folder}/{name}.log
  Syslog Off
  LockFile {folder}/{name}.lock
  UNIX {{
    Path {folder}/{name}.ctl
  }}
  NetlinkBufferSize 33554432
  NetlinkBufferSizeMaxGrowth 134217728
  NetlinkOverrunResync Off
  EventIterationLimit 200
}}
"""


def cpu_s(pid):
    """Seconds that all threads of a process have run."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def run(*command, check=True):
    if not check and shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, check=check, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout


def until(what, done, seconds=PATIENCE_S, every=0.005):
    end = time.monotonic() + seconds
    while not (value := done()):
        if time.monotonic() > end:
            raise Trouble(f"{what} did not happen within {seconds} seconds")
        time.sleep(every)
    return value


def settled(value):
    """What it is once it has not changed for two seconds, and when it came to that."""
    last, since = value(), time.monotonic()
    while time.monotonic() < since + 2:
        time.sleep(0.05)
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last, since


class Veth:
    """Two namespaces on one cable."""

    def __init__(self):
        self.names = [f"pfbulk{os.getpid()}{end}" for end in "ab"]
        self.interfaces = ["bulka", "bulkb"]

    def __enter__(self):
        for name in self.names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", self.interfaces[0], "netns", self.names[0], "type", "veth",
            "peer", "name", self.interfaces[1], "netns", self.names[1])
        for name, interface in zip(self.names, self.interfaces):
            run("ip", "-n", name, "link", "set", interface, "up")
        return self

    def __exit__(self, *_):
        for name in self.names:
            run("ip", "netns", "del", name, check=False)

    def inside(self, end):
        return ["ip", "netns", "exec", self.names[end]]


class Result:
    new_per_s = 0.0      # new states a second that both ends keep up with
    new_per_cpu_s = 0.0  # and for a CPU second of both

    def __init__(self, seconds, sender_s, receiver_s, states):
        self.rate = states / seconds
        self.seconds = seconds
        self.sender_us = sender_s / states * 1e6
        self.receiver_us = receiver_s / states * 1e6

    def __str__(self):
        return (f"{self.seconds:7.2f} s  {self.rate:12,.0f} states/s   CPU a state: sender {self.sender_us:.2f} us, "
                f"receiver {self.receiver_us:.2f} us   new states a second {self.new_per_s:,.0f}, a CPU second {self.new_per_cpu_s:,.0f}")


class Pair:
    """A plays a firewall, B is its backup."""

    def __init__(self, program, folder, states, devices, prefixes, live=0):
        configs = [CONFIG.format(device=device, host=host, states_max=2 * states) for host, device in enumerate(devices, 1)]
        configs[0] += SYNTHETIC.format(states=states, live=live)
        self.a, self.b = (Daemon(name, program, folder, config, prefix=prefix)
                          for name, config, prefix in zip("AB", configs, prefixes))
        self.states = states

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in (self.b, self.a):
            daemon.end()

    def start(self, *daemons):
        for daemon in daemons:
            daemon.start()
            daemon.await_socket(30)

    def fill(self):
        until("filling A", lambda: self.a.status()["synthetic"]["opened"] >= self.states, every=0.01)
        self.a.ask("synthetic", run=False)

    def cpu_s(self):
        return [cpu_s(daemon.process.pid) for daemon in (self.a, self.b)]


def pfsyncd_new(pair):
    """New states a second, and a CPU second of both ends. B is there first."""
    pair.start(pair.b, pair.a)
    began = time.monotonic()
    before, early = sum(pair.cpu_s()), pair.a.status()["synthetic"]["opened"]
    pair.fill()
    pair.a.ask("push")
    until("the last new state", lambda: pair.b.status()["states"] >= pair.a.status()["states"], every=0.01)
    came = pair.states - early
    return came / (time.monotonic() - began), came / (sum(pair.cpu_s()) - before)


def pfsyncd_bulk(pair):
    pair.start(pair.a, pair.b)
    a, b = pair.a, pair.b
    pair.fill()
    # What A said while it filled has reached B as well: begin with an empty one.
    b.end()
    pair.start(b)
    held = a.status()["states"]
    time.sleep(1)
    if (early := b.status()["states"]) > held // 100:
        raise Trouble(f"B has {early} states before it asked", b)
    before = pair.cpu_s()
    began = time.monotonic()
    b.ask("resync")
    until("the bulk update", lambda: b.status()["states"] >= held)
    seconds = time.monotonic() - began
    after = pair.cpu_s()
    if a.status(digest=True)["digest"] != b.status(digest=True)["digest"]:
        raise Trouble("the digests differ after the bulk update", b)
    return Result(seconds, after[0] - before[0], after[1] - before[1], held)


class Live:
    """A bulk update beside live updates."""

    def __init__(self, seconds, packets, updates):
        self.seconds, self.packets, self.updates = seconds, packets, updates

    def __str__(self):
        return f"{self.seconds:7.2f} s  {self.packets:,} packets, {self.updates:,.0f} updates/s among them, digests equal"


def pfsyncd_live(pair):
    a, b = pair.a, pair.b
    pair.start(a, b)
    pair.fill()
    b.end()
    pair.start(b)
    time.sleep(1)
    a.ask("synthetic", run=True)
    time.sleep(1)
    packets, updates = b.ask("show", what="counters")["counters"]["ipackets"], a.status()["synthetic"]["updated"]
    began = time.monotonic()
    b.ask("resync")
    until("the bulk update", lambda: b.status()["bulk"]["phase"] == "done")
    seconds = time.monotonic() - began
    packets = b.ask("show", what="counters")["counters"]["ipackets"] - packets
    updates = (a.status()["synthetic"]["updated"] - updates) / seconds
    a.ask("synthetic", run=False)
    a.ask("push")
    try:
        until("the end of what was under way", lambda: compare(a, b)[2], seconds=10, every=0.2)
    except Trouble as trouble:
        lost = {name: {word: node.ask("show", what="counters")["counters"].get(word, 0) for word in ("oerrors", "onomem", "imissed", "ierrors")}
                for name, node in (("A", a), ("B", b))}
        raise Trouble(f"{trouble}: {differences(a, b)}; frames that did not go through the devices: {lost}") from None
    return Live(seconds, packets, updates)


def live(program, states, updates_per_s):
    """Over memif and veth, in turn with the plain sender."""
    rows = []
    plain = ROOT / "build/bench/dpdk/link_rate"
    for kind in ("memif", "af_packet"):
        with tempfile.TemporaryDirectory(prefix="pfsync-bulk-", dir="/tmp") as folder:
            if kind == "memif":
                device = "net_memif0,role={},socket-abstract=no,socket=" + folder + "/link.sock,id=0,rsize=12"
                with Pair(program, folder, states, [device.format("server"), device.format("client")], [(), ()], updates_per_s) as pair:
                    result = pfsyncd_live(pair)
            else:
                with Veth() as cable, Pair(program, folder, states, [f"net_af_packet0,iface={interface}" for interface in cable.interfaces],
                                           [cable.inside(0), cable.inside(1)], updates_per_s) as pair:
                    result = pfsyncd_live(pair)
        raw = link_rate.one_run(str(plain), kind, "raw", 2)["frames_per_s"]
        rows.append((kind, result, raw))
        print(f"   {kind:22} {result}", flush=True)
    return rows


def live_table(runs):
    lines = ["| link | bulk update beside live updates | packets | a plain sender's frames/s | time / (packets / that rate) |", "|---|---|---|---|---|"]
    for of_a_link in zip(*runs):
        kind = of_a_link[0][0]
        seconds = statistics.median(result.seconds for _, result, _ in of_a_link)
        packets = statistics.median(result.packets for _, result, _ in of_a_link)
        raw = statistics.median(raw for _, _, raw in of_a_link)
        lines.append(f"| {kind} | {seconds:.2f} s | {packets:,.0f} | {raw:,.0f} | {seconds * raw / packets:.2f} |")
    return "\n".join(lines)


def memif(program, states):
    with tempfile.TemporaryDirectory(prefix="pfsync-bulk-", dir="/tmp") as folder:
        device = "net_memif0,role={},socket-abstract=no,socket=" + folder + "/link.sock,id=0,rsize=12"
        devices = [device.format("server"), device.format("client")]  # the server is started first
        with Pair(program, folder, states, devices, [(), ()]) as pair:
            result = pfsyncd_bulk(pair)
        with Pair(program, folder, states, devices[::-1], [(), ()]) as pair:
            result.new_per_s, result.new_per_cpu_s = pfsyncd_new(pair)
        return result


def veth(program, states):
    with tempfile.TemporaryDirectory(prefix="pfsync-bulk-", dir="/tmp") as folder, Veth() as cable:
        devices = [f"net_af_packet0,iface={interface}" for interface in cable.interfaces]
        prefixes = [cable.inside(0), cable.inside(1)]
        with Pair(program, folder, states, devices, prefixes) as pair:
            result = pfsyncd_bulk(pair)
        with Pair(program, folder, states, devices, prefixes) as pair:
            result.new_per_s, result.new_per_cpu_s = pfsyncd_new(pair)
        return result


class Conntrack:
    """The machine's connection tracking made large enough, and put back."""

    limits = {"net.netfilter.nf_conntrack_buckets": "1048576", "net.netfilter.nf_conntrack_max": "4194304"}

    def __enter__(self):
        run("modprobe", "nf_conntrack", check=False)
        run("modprobe", "nf_conntrack_netlink", check=False)
        self.before = {key: run("sysctl", "-n", key).strip() for key in self.limits}
        for key, value in self.limits.items():
            run("sysctl", "-qw", f"{key}={value}")
        return self

    def __exit__(self, *_):
        for key, value in reversed(self.before.items()):
            run("sysctl", "-qw", f"{key}={value}", check=False)


class Conntrackd:
    def __init__(self, name, folder, cable, end):
        self.inside = cable.inside(end)
        self.config = pathlib.Path(folder) / f"{name}.conf"
        self.config.write_text(CONNTRACKD.format(host=end + 1, peer=2 - end, interface=cable.interfaces[end], folder=folder, name=name))
        self.process = None

    def start(self):
        with open(self.config.with_suffix(".out"), "ab") as log:
            self.process = subprocess.Popen([*self.inside, "conntrackd", "-C", str(self.config)], stdout=log, stderr=log)
        until("the start of conntrackd", lambda: "cache" in self.ask("-s"), seconds=20, every=0.05)

    def ask(self, *words):
        return run(*self.inside, "conntrackd", "-C", str(self.config), *words, check=False)

    def held(self, cache):
        found = re.search(cache + r":\s+current active connections:\s+(\d+)", self.ask("-s"))
        return int(found.group(1)) if found else 0

    def end(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        self.config.with_suffix(".ctl").unlink(missing_ok=True)


def conntrackd(states):
    with tempfile.TemporaryDirectory(prefix="pfsync-bulk-", dir="/tmp") as folder, Conntrack(), Veth() as cable:
        for end in (0, 1):
            run("ip", "-n", cable.names[end], "addr", "add", f"192.0.2.{end + 1}/24", "dev", cable.interfaces[end])
        a, b = Conntrackd("a", folder, cable, 0), Conntrackd("b", folder, cable, 1)
        try:
            entries = pathlib.Path(folder) / "entries"
            with open(entries, "w", encoding="ascii") as file:
                for n in range(states):
                    source, destination, port = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", "198.51.100.1", 1024 + n % 60000
                    file.write(f"-I -p tcp -s {source} -d {destination} --sport {port} --dport 443 --state ESTABLISHED --timeout 86400 -u ASSURED\n")
            a.start()
            b.start()
            spent = [cpu_s(daemon.process.pid) for daemon in (a, b)]
            # Its sender learns of new states from the kernel's events; that is part of its work. Not the loader's time.
            began = time.monotonic()
            run(*cable.inside(0), "conntrack", "-R", str(entries))
            reached, ended = settled(lambda: b.held("cache external"))
            new_per_s = reached / (ended - began)
            new_per_cpu_s = reached / sum(cpu_s(daemon.process.pid) - before for daemon, before in zip((a, b), spent))
            b.end()
            a.ask("-R")  # the kernel's entries into its cache
            held = until("conntrackd's reading of the kernel", lambda: (now := a.held("cache internal")) >= states and now, every=0.5)
            b.start()
            before = [cpu_s(daemon.process.pid) for daemon in (a, b)]
            began = time.monotonic()
            b.ask("-n")
            until("conntrackd's resync", lambda: b.held("cache external") >= held, every=0.02)
            seconds = time.monotonic() - began
            after = [cpu_s(daemon.process.pid) for daemon in (a, b)]
            result = Result(seconds, after[0] - before[0], after[1] - before[1], held)
            result.new_per_s, result.new_per_cpu_s = new_per_s, new_per_cpu_s
            return result
        finally:
            b.end()
            a.end()


FIGURES = {"bulk_states_per_s": "rate", "sender_us": "sender_us", "receiver_us": "receiver_us", "new_states_per_s": "new_per_s",
           "new_states_per_cpu_s": "new_per_cpu_s"}


def table(rows):
    """The medians, and how often conntrackd's they are."""
    rival = next((row for row in rows if row["kind"].startswith("conntrackd")), None)

    def cell(row, key):
        times = f" ({row[key] / rival[key]:.2f} x)" if rival and row is not rival else ""
        return f"{row[key]:,.0f}{times}"

    lines = ["| | bulk update, states/s | as Ethernet | CPU a state: sender, receiver | new states/s | new states a CPU second, both ends |",
             "|---|---|---|---|---|---|"]
    for row in rows:
        bits = row["bulk_states_per_s"] / STATES_A_FRAME * (FRAME_BYTES + 24) * 8 / 1e9
        lines.append(f"| {row['kind']} | {cell(row, 'bulk_states_per_s')} | "
                     f"{f'{bits:.2f} Gb/s' if row is not rival else '-'} | {row['sender_us']:.2f} us, {row['receiver_us']:.2f} us | "
                     f"{cell(row, 'new_states_per_s')} | {cell(row, 'new_states_per_cpu_s')} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pfsyncd", type=pathlib.Path, default=ROOT / "build/engine/dpdk/pfsyncd")
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn; medians are said")
    parser.add_argument("--memif-only", action="store_true", help="no network namespaces: needs no root")
    parser.add_argument("--vs-conntrackd", action="store_true")
    parser.add_argument("--live", metavar="N", type=int, default=0, help="only this: with N updates a second meanwhile")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write the medians there too")
    options = parser.parse_args()
    kinds = {"pfsyncd over memif": lambda: memif(options.pfsyncd, options.states)}
    if not options.memif_only:
        kinds["pfsyncd over veth"] = lambda: veth(options.pfsyncd, options.states)
        if options.vs_conntrackd:
            kinds["conntrackd over veth"] = lambda: conntrackd(options.states)
    results = {kind: [] for kind in kinds}
    try:
        if options.live:
            print(live_table([live(options.pfsyncd, options.states, options.live) for _ in range(options.runs)]))
            return 0
        for number in range(options.runs):
            for kind, measure in kinds.items():
                results[kind].append(measure())
                print(f"{number + 1}  {kind:22} {results[kind][-1]}", flush=True)
    except Trouble as trouble:
        print(f"bulk_rate: {trouble}.", *(trouble.daemon.last_words() if trouble.daemon else []), sep="\n  ", file=sys.stderr)
        return 1
    rows = [{"kind": kind, **{key: statistics.median(getattr(result, attribute) for result in some)
                              for key, attribute in FIGURES.items()}} for kind, some in results.items()]
    print("\n" + table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

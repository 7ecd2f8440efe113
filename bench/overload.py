#!/usr/bin/env python3
"""What does a pfsyncd do with more than its core can take, and with floods of nobody's friend?

overload: a firewall sends its node more than it takes: that has 1/1, 1/2, 1/4 and 1/8 of the processor time that this load needs, for some
          seconds, and then all of it. Offered, taken, memory, and how long until both hold the same, without anybody's doing.
floods:   another host of the same segment sends what it can, while a firewall goes on: how much of what that opens arrives, how
          long its node's control socket takes, frames that its ring dropped, memory, processor time by thread, which counters tell.

usage: overload.py [--seconds S] [--only overload,floods] [--kinds KIND,KIND…] [--per-s N] [--json FILE]
As root: network namespaces with veth pairs on a bridge, and control groups, all removed at the end.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "smoke")]

from daemon import Daemon, Trouble, compare, differences
from pf_peer import pack

NODE, FIREWALL, STRANGER = "192.0.2.1", "192.0.2.2", "192.0.2.9"
NODE6, FIREWALL6, STRANGER6 = "fd00::1", "fd00::2", "fd00::9"
GROUP, FOE = "224.0.0.240", b"\0\0\0\x0e"
TIMEOUT_S = 20         # of every state: what ended unheard ends for all after it, and a grace
AGREE_S = 120
START_S = 30
PROBE_QUOTAS = (0.08, 0.04, 0.02, 0.01)
PERIOD_US = 200_000    # in which a control group's processor time is given out
TIMEOUTS = ("tcp_first", "tcp_opening", "tcp_established", "tcp_closing", "tcp_finwait", "tcp_closed", "udp_first", "udp_single",
            "udp_multiple", "icmp_first", "icmp_error", "other_first", "other_single", "other_multiple")

CONFIG = """
[link]
device = "sync"
address = "{address}/{prefix}"
{link}
[table]
states_max = {states_max}
[table.timeouts]
{timeouts}
[sync]
creatorid = "0000000{number}"
"""
LOAD = """
[synthetic]
states = {states}
fill_per_s = 20000
new_per_s = {new_per_s}
updates_per_s = {updates_per_s}
seed = 3
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(command)}: {' '.join(done.stderr.split())}")


class Segment:
    """Namespaces with an interface "sync" each, on a bridge in one more."""

    def __init__(self, stack, names):
        self.spaces = {name: f"pfload{os.getpid()}{name}" for name in names}
        bridge = f"pfload{os.getpid()}s"
        for space in (*self.spaces.values(), bridge):
            run("ip", "netns", "add", space)
            stack.callback(run, "ip", "netns", "del", space)
        run("ip", "-n", bridge, "link", "add", "segment", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", bridge, "link", "set", "segment", "up")
        for name, space in self.spaces.items():
            run("ip", "link", "add", "sync", "netns", space, "type", "veth", "peer", "name", f"port-{name}", "netns", bridge)
            run("ip", "-n", space, "link", "set", "sync", "up")
            run("ip", "-n", bridge, "link", "set", f"port-{name}", "master", "segment", "up")

    def mac(self, name):
        links = subprocess.run(["ip", "-n", self.spaces[name], "-json", "link", "show", "sync"], capture_output=True, text=True, check=True).stdout
        return json.loads(links)[0]["address"]

    def inside(self, name):
        return ["ip", "netns", "exec", self.spaces[name]]


class Group:
    """A control group of either kind whose processes may have a share of a processor's time."""

    def __init__(self, stack):
        for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/cpu"):
            self.folder = pathlib.Path(mount) / f"pfload{os.getpid()}"
            with contextlib.suppress(OSError):
                self.folder.mkdir()
                if any((self.folder / name).exists() for name in ("cpu.max", "cpu.cfs_quota_us")):
                    stack.callback(self.folder.rmdir)
                    self.enter = ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]
                    return
                self.folder.rmdir()
        raise Trouble("no control group that bounds processor time can be made here: run as root, outside a container that has none")

    def give(self, share):
        """None: all that there is."""
        quota = None if share is None else max(int(share * PERIOD_US), 1000)
        if (self.folder / "cpu.max").exists():
            (self.folder / "cpu.max").write_text(f"{quota or 'max'} {PERIOD_US}")
        else:
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota or -1))


def start(stack, options, folder, segment, name, number, address, link, load="", group=(), states_max=200_000):
    config = CONFIG.format(address=address, prefix=64 if ":" in address else 24, link=link, number=number, states_max=states_max,
                           timeouts="\n".join(f"{word} = {TIMEOUT_S}" for word in TIMEOUTS)) + load
    daemon = Daemon(name, options.pfsyncd, folder, config, prefix=[*group, *segment.inside(name)], state_dir=folder / name)
    stack.callback(daemon.end)
    daemon.start()
    daemon.await_socket(START_S)
    return daemon


def await_(what, seconds, condition):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Trouble(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def rss_mib(daemon):
    line = next(line for line in pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def threads_s(daemon):
    """Processor time by the name of the thread."""
    spent = {}
    for task in pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir():
        name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        name = "control" if int(task.name) == daemon.process.pid else name
        fields = fields.split()
        spent[name] = spent.get(name, 0) + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def counters_of(daemon):
    """All that are numbers, by their words."""
    carp = {}
    with contextlib.suppress(Trouble):  # a node without virtual addresses
        carp = daemon.ask("show", what="carp")["counters"]
    counted = [{"carp_" + word: value for word, value in carp.items()}, *daemon.ask("show", what="counters").values()]
    return {word: value for words in counted if isinstance(words, dict) for word, value in words.items() if isinstance(value, int)}


def cpu_s(daemon):
    fields = pathlib.Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def heal_s(node, firewall):
    """The load stands still; how long until both hold the same."""
    firewall.ask("synthetic", run=False)
    began = time.monotonic()
    while not compare(firewall, node)[2]:
        if time.monotonic() > began + AGREE_S:
            raise Trouble(f"the tables still differ after {AGREE_S} s: {differences(firewall, node)}")
        time.sleep(0.2)
    return time.monotonic() - began


# --- more than a core takes ------------------------------------------------------------------------------

def overload(options, quota):
    """One run of a node that has so much of a processor."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pfsync-load-")))
        segment, group = Segment(stack, ("node", "wall")), Group(stack)
        node = start(stack, options, folder, segment, "node", 1, NODE, f'[[peer]]\naddress = "{FIREWALL}"', group=group.enter)
        load = LOAD.format(states=options.states, new_per_s=options.new_per_s, updates_per_s=options.updates_per_s)
        wall = start(stack, options, folder, segment, "wall", 2, FIREWALL, f'[[peer]]\naddress = "{NODE}"', load)
        await_("the node has the firewall's states", 60, lambda: node.status()["states"] >= 0.95 * options.states)
        time.sleep(2)
        before_mib = rss_mib(node)
        group.give(quota)
        offered, taken, spent, began = wall.status()["totals"]["opackets"], node.status()["totals"]["ipackets"], cpu_s(node), time.monotonic()
        time.sleep(options.seconds)
        offered, taken = wall.status()["totals"]["opackets"] - offered, node.status()["totals"]["ipackets"] - taken
        took = time.monotonic() - began
        row = {"offered_per_s": offered / took, "taken_per_s": taken / took, "quota": quota, "cpu": (cpu_s(node) - spent) / took}
        most_mib = rss_mib(node)
        group.give(None)
        time.sleep(5)  # the load goes on, and the node keeps up again
        after = node.status()["totals"]["ipackets"], wall.status()["totals"]["opackets"]
        time.sleep(2)
        keeps_up = (node.status()["totals"]["ipackets"] - after[0]) / max(wall.status()["totals"]["opackets"] - after[1], 1)
        counts = node.ask("show", what="counters")
        row |= {"factor": offered / max(taken, 1), "memory_mib": (before_mib, most_mib), "keeps_up": keeps_up,
                "heal_s": heal_s(node, wall), "asked": counts["sent"]["upd_req"], "requests_withheld": counts["counters"]["requests_withheld"]}
        return row


def run_overload(options):
    # What it takes is measured where it is too little, since a loop that waits uses time, too.
    for quota in PROBE_QUOTAS:
        probe = overload(options, quota)
        if probe["taken_per_s"] < 0.8 * probe["offered_per_s"]:
            break
    else:
        raise Trouble(f"the load of {probe['offered_per_s']:,.0f} packets/s is too small for this machine: give more --updates-per-s")
    needed = probe["offered_per_s"] / probe["taken_per_s"] * probe["cpu"]
    print(f"  the load needs {needed:.0%} of a processor", flush=True)
    rows = []
    for divisor in (1, 2, 4, 8):
        row = overload(options, needed / divisor)
        rows.append(row | {"divisor": divisor})
        print(f"  1/{divisor} of that: offered {row['offered_per_s']:,.0f}, taken {row['taken_per_s']:,.0f} packets/s ({row['factor']:.1f} times), "
              f"memory {row['memory_mib'][0]:.0f} -> {row['memory_mib'][1]:.0f} MiB, {row['asked']:,} states asked for; then takes {row['keeps_up']:.0%}, "
              f"the same on both after {row['heal_s']:.1f} s", flush=True)
    return {"cpu_needed": needed, "rows": rows}


# --- floods ----------------------------------------------------------------------------------------------

def pfsync(action, messages):
    body = struct.pack("!BBH", action, 0, len(messages)) + b"".join(messages) + struct.pack("!BBH", 12, 0, 1)
    return struct.pack("!BBH16x", 5, 0, 20 + len(body)) + body


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def frame(payload, protocol=240, to=GROUP, ttl=255, options=b"", mac=b"\x01\x00\x5e\x00\x00\xf0", fragment=0x4000, source=STRANGER):
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0x10, 20 + len(options) + len(payload), 1, fragment, ttl, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(to)) + options
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return mac + b"\x02\0\0\0\0\x09" + b"\x08\x00" + header + payload


def neighbour_solicitation():
    target, source = (socket.inet_pton(socket.AF_INET6, address) for address in (NODE6, STRANGER6))
    to, mac = socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:1"), b"\x02\0\0\0\0\x09"
    body = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\x01\x01" + mac
    body = body[:2] + struct.pack("!H", checksum(source + to + struct.pack("!II", len(body), 58) + body)) + body[4:]
    return b"\x33\x33\xff\0\0\x01" + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + to + body


def full_state(id_, number, creator=FOE, flags=0, name=b"all"):
    keys = {}
    for key in (0, 1):
        keys |= {f"key[{key}].addr[0]": bytes([10, 9, 0, 1]), f"key[{key}].addr[1]": struct.pack("!I", 0x0b000000 + number // 60000),
                 f"key[{key}].port[0]": 80, f"key[{key}].port[1]": 1024 + number % 60000}
    sides = {f"{side}.{word}": value for side in ("src", "dst") for word, value in (("seqlo", 1000), ("seqhi", 66000), ("max_win", 500), ("state", 4))}
    return pack("state_1301", id=id_, creatorid=creator, ifname=name, **keys, **sides, state_flags=flags, rule=0xffffffff, anchor=0xffffffff,
                nat_rule=0xffffffff, expire=86400, af=2, proto=6, direction=2, timeout=2)


def flood_frames(kind, known, mac=b""):
    """Frames to send in turn, again and again."""
    random_ = random.Random(9)
    identity = lambda: random_.randbytes(8)
    if kind == "updates of random ids":
        return [frame(pfsync(4, [pack("upd_c.freebsd", id=identity(), creatorid=FOE, timeout=2) for _ in range(15)])) for _ in range(4000)]
    if kind == "requests for states":
        return [frame(pfsync(5, [random_.choice(known) for _ in range(110)])) for _ in range(1000)]
    if kind == "bulk requests":
        return [frame(pfsync(5, [bytes(12)]))]
    if kind == "inserts":
        return [frame(pfsync(1, [full_state(identity(), 5 * n + k) for k in range(5)])) for n in range(20_000)]
    if kind == "inserts of invented sources":
        return [frame(pfsync(1, [full_state(identity(), 5 * n + k) for k in range(5)]), source=f"192.0.2.{10 + n % 240}") for n in range(20_000)]
    if kind == "inserts that want an ack":
        return [frame(pfsync(1, [full_state(struct.pack("!Q", 5 * n + k), 5 * n + k, flags=ACK) for k in range(5)])) for n in range(10)]
    if kind == "clears":
        return [frame(pfsync(0, [bytes(16) + struct.pack("!I", 0x80000000 + 70 * n + k) for k in range(70)])) for n in range(2000)]
    if kind == "creators":
        return [frame(pfsync(1, [full_state(identity(), 5 * n + k, struct.pack("!I", 1000 + 5 * n + k)) for k in range(5)])) for n in range(CREATORS // 5)]
    if kind == "neighbour solicitations":
        return [neighbour_solicitation()]
    if kind == "ARP":
        return [b"\xff" * 6 + b"\x02\0\0\0\0\x09" + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + b"\x02\0\0\0\0\x09" + bytes([192, 0, 2, n]) +
                bytes(6) + socket.inet_aton(NODE) for n in range(100, 200)]
    if kind == "IGMP queries":
        body = struct.pack("!BBH4sBBH", 0x11, 1, 0, bytes(4), 2, 1, 0)
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        return [frame(body, protocol=2, to="224.0.0.1", ttl=1, options=b"\x94\x04\0\0", mac=b"\x01\x00\x5e\x00\x00\x01")]
    if kind == "pings":
        body = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(56)
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        return [frame(body, protocol=1, to=NODE, ttl=64, mac=mac)]
    if kind == "CARP of another password":
        def advertisement(counter):
            body = struct.pack("!BBBBBBHQ", 0x21, VHID, 0, 7, 0, 1, 0, counter) + random_.randbytes(20)
            body = body[:6] + struct.pack("!H", checksum(body)) + body[8:]
            return frame(body, protocol=112, to="224.0.0.18", mac=b"\x01\x00\x5e\x00\x00\x12")
        return [advertisement(n) for n in range(1, 2001)]
    if kind == "IPsec counters":
        return [frame(pfsync(11, [pack("tdb.freebsd", spi=random_.randrange(1 << 32), dst=b"\x10\x02\0\0" + random_.randbytes(4), rpl=1, sproto=50, updates=1) for _ in range(25)]))
                for _ in range(4000)]
    if kind == "deletes of random ids":
        return [frame(pfsync(7, [pack("del_c", id=identity(), creatorid=FOE) for _ in range(110)])) for _ in range(4000)]
    if kind == "updates that are behind":
        return [frame(pfsync(4, [pack("upd_c.freebsd", id=one[:8], creatorid=one[8:], timeout=2, **{"src.state": 1, "dst.state": 1})
                                 for one in random_.choices(known, k=15)])) for _ in range(1000)]
    if kind == "fragments":
        return [frame(random_.randbytes(800), fragment=part) for part in (0x2000, 0x2064, 0x00c8)]
    if kind == "names of interfaces":
        return [frame(pfsync(1, [full_state(struct.pack("!Q", 5 * n + k), 5 * n + k, name=b"em%d" % (5 * n + k)) for k in range(5)])) for n in range(6000)]
    raise ValueError(kind)


VHID = 7
CARP = f"""
[[carp]]
vhid = {VHID}
password = "a secret"
addresses = ["192.0.2.254/24"]
"""
FLOODS = ("none", "updates of random ids", "requests for states", "bulk requests", "inserts", "inserts of invented sources", "inserts that want an ack", "clears", "ARP",
          "neighbour solicitations", "IGMP queries", "pings", "CARP of another password", "IPsec counters", "deletes of random ids",
          "updates that are behind", "fragments", "names of interfaces")
ACK = 0x10            # of state_flags
CREATORS = 30_000     # with a state each, before the flood of clears
# Of the counters those that tell what became of a flood.
TELLING = ("table_full", "made_room", "requests_withheld", "requests_suppressed", "requests_limited", "answers_delayed", "acks_withheld", "clears_delayed",
           "clears_refused", "clears_forgotten", "answers_dropped", "arp_replies", "neighbour_replies", "echo_replies", "membership_reports", "membership_dropped", "badstate",
           "bulk_requests_in", "carp_badauth", "fragment", "badip", "stale", "names_full", "tdbs_displaced")


def send_once(kind):
    """In the stranger's namespace: each frame once, at a pace that nobody loses."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("sync", 0))
        for number, one in enumerate(flood_frames(kind, [])):
            out.send(one)
            if number % 20 == 0:
                time.sleep(0.005)


def send_flood(kind, seconds, known_file, per_s, mac):
    """In the stranger's namespace: as many frames as this process can send, or so many a second."""
    known = [bytes.fromhex(line) for line in pathlib.Path(known_file).read_text().split()]
    frames = flood_frames(kind, known, mac)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("sync", 0))
        print("ready", flush=True)
        began = time.monotonic()
        until, sent = began + seconds, 0
        while time.monotonic() < until:
            if per_s and sent > (time.monotonic() - began) * per_s:
                time.sleep(0.001)
                continue
            for one in frames[:1000 if not per_s else 20] if len(frames) > 1000 else frames * ((256 if not per_s else 20) // len(frames) + 1):
                with contextlib.suppress(OSError):
                    out.send(one)
                    sent += 1
            if len(frames) > 1000:
                frames = frames[20:] + frames[:20] if per_s else frames[1000:] + frames[:1000]
    print(sent, flush=True)


def flood(options, kind, sources):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pfsync-load-")))
        segment = Segment(stack, ("node", "wall", "foe"))
        own, other = (NODE6, FIREWALL6) if kind == "neighbour solicitations" else (NODE, FIREWALL)
        link = f'sources = ["{other}"]' if sources else f'[[peer]]\naddress = "{other}"' if ":" in own else ""
        node = start(stack, options, folder, segment, "node", 1, own, link, CARP if kind.startswith("CARP") else "", states_max=options.flood_states_max)
        load = LOAD.format(states=5000, new_per_s=100, updates_per_s=5000)
        wall = start(stack, options, folder, segment, "wall", 2, other, f'[[peer]]\naddress = "{own}"' if ":" in own else f'sources = ["{own}"]', load)
        await_("the node has the firewall's states", 60, lambda: node.status()["states"] >= 4900)
        known = folder / "known"
        known.write_text("\n".join(id_.replace("/", "") for id_ in list(wall.states())[:2000]))
        stranger = [*segment.inside("foe"), sys.executable, "-B", __file__]
        if kind == "clears":
            run(*stranger, "--once", "creators")
            await_("the node has a state of each creator", 60, lambda: node.status()["states"] >= 4900 + 0.95 * CREATORS)
        counted, threads = counters_of(node), threads_s(node)
        before_mib, spent, began = rss_mib(node), cpu_s(node), time.monotonic()
        opened, sent = wall.status()["synthetic"]["opened"], 0
        if kind != "none":
            foe = subprocess.Popen([*stranger, "--flood", kind, "--seconds", str(options.seconds), "--known", str(known), "--per-s", str(options.per_s),
                                    "--mac", segment.mac("node")],
                                   stdout=subprocess.PIPE, text=True)
            stack.callback(foe.wait)
            stack.callback(foe.kill)
            foe.stdout.readline()
        answers, arrived, missing = [], [], 0
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            at = time.monotonic()
            node.status()
            answers.append(1000 * (time.monotonic() - at))
            time.sleep(0.5)
        if kind != "none":
            sent = int(foe.stdout.readline())
        took = time.monotonic() - began
        most_mib, cpu, status = rss_mib(node), (cpu_s(node) - spent) / took, node.status()
        by_thread = {name: (seconds - threads.get(name, 0)) / took for name, seconds in threads_s(node).items()}
        grown = {word: value - counted.get(word, 0) for word, value in counters_of(node).items()}
        # What is older than two seconds had its time to arrive, or to be asked for.
        young = {id_ for id_, state in wall.states().items() if 2 <= state["age_s"] < options.seconds}
        held = node.states().keys()
        arrived = len(young & held) / max(len(young), 1)
        row = {"kind": kind, "sources": sources, "sent_per_s": sent / options.seconds, "opened": wall.status()["synthetic"]["opened"] - opened,
               "arrived": arrived, "judged": len(young), "control_ms": statistics.median(answers), "control_most_ms": max(answers), "cpu": cpu,
               "control_cpu": by_thread["control"], "by_thread": by_thread, "memory_mib": (before_mib, most_mib), "verdict": status["verdict"],
               "states": status["states"], "ring_dropped_per_s": grown["imissed"] / took, "told": {word: grown[word] for word in TELLING if grown.get(word)}}
        wall.ask("synthetic", run=False)
        own = lambda daemon: {id_: state["src"] for id_, state in daemon.states().items() if id_.endswith("00000002")}
        began = time.monotonic()
        while not (same := own(wall) == own(node)) and time.monotonic() < began + AGREE_S:
            time.sleep(0.5)
        row |= {"heal_s": time.monotonic() - began, "same": same}
        return row


def run_floods(options):
    rows = []
    for kind in options.kinds.split(",") if options.kinds else FLOODS:
        for sources in (False, True) if kind in ("updates of random ids", "inserts") else (False,):
            row = flood(options, kind, sources)
            rows.append(row)
            print(f"  {kind}{' (sources listed)' if sources else ''}: {row['sent_per_s']:,.0f} frames/s, of which the ring "
                  f"dropped {row['ring_dropped_per_s']:,.0f}; of {row['judged']} new states {row['arrived']:.1%} arrived; "
                  f"control socket {row['control_ms']:.1f} ms (at most {row['control_most_ms']:.0f}); CPU {row['cpu']:.0%}, control thread {row['control_cpu']:.0%}; memory {row['memory_mib'][0]:.0f} -> "
                  f"{row['memory_mib'][1]:.0f} MiB; {row['states']:,} states, {row['verdict']}; the firewall's states "
                  f"{'equal' if row['same'] else 'DIFFERENT'} after {row['heal_s']:.1f} s; "
                  f"{', '.join(f'{word} {value:,}' for word, value in row['told'].items()) or 'no counter of refusals grew'}", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--pfsyncd", type=pathlib.Path, default=ROOT / "build/engine/dpdk/pfsyncd")
    parser.add_argument("--seconds", type=float, default=10, help="of each overload and flood")
    parser.add_argument("--states", type=int, default=20_000)
    parser.add_argument("--new-per-s", type=int, default=2_000)
    parser.add_argument("--updates-per-s", type=int, default=400_000)
    parser.add_argument("--flood-states-max", type=int, default=40_000)
    parser.add_argument("--kinds", help="of the floods: " + ", ".join(FLOODS))
    parser.add_argument("--per-s", type=int, default=0, help="frames that a flood has a second at most; 0: what the sender can")
    parser.add_argument("--only", default="overload,floods")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    parser.add_argument("--known", help=argparse.SUPPRESS)
    parser.add_argument("--once", help=argparse.SUPPRESS)
    parser.add_argument("--mac", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        send_flood(options.flood, options.seconds, options.known, options.per_s, bytes.fromhex(options.mac.replace(":", "")))
        return 0
    if options.once:
        send_once(options.once)
        return 0
    if os.geteuid() != 0 or not shutil.which("ip"):
        print("overload: needs root and ip, for namespaces", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # in order: namespaces and groups are removed
    found = {}
    try:
        for name, part in (("overload", run_overload), ("floods", run_floods)):
            if name in options.only.split(","):
                print(f"{name}:", flush=True)
                found[name] = part(options)
    except Trouble as trouble:
        print(f"overload: {trouble}", file=sys.stderr)
        for line in trouble.daemon.last_words() if trouble.daemon else []:
            print("  " + line, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""How long a virtual address stays without an answer when its master goes: pfsyncd, ucarp, and keepalived (VRRP), as root.

usage: bench/carp_failover.py [--runs 20] [--at-once 4] [--build build]

Two nodes and a client on one bridge, all in network namespaces; the client pings the address a hundred times a second. The
node goes in three ways: "cut" (its port on the bridge goes down: a power loss), "planned" (maintenance mode; SIGUSR2 of ucarp),
"stopped" (SIGTERM). Advertisements every second; the backup has skew 100, or priority 100.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "smoke")]
WAIT_S = 12


class Keepalived:
    def __init__(self, case, side, priority):
        self.namespace, self.interface = case.namespaces[side], f"node-{side}"
        config = case.folder / f"keepalived{side}.conf"
        config.write_text(f"""
vrrp_instance one {{
  interface {self.interface}
  virtual_router_id {carp_test.VHID}
  priority {priority}
  advert_int 1
  virtual_ipaddress {{ {carp_test.VIRTUAL}/24 }}
}}
""")
        carp_test.ip("-n", self.namespace, "addr", "add", f"{carp_test.NETWORK}{side + 1}/24", "dev", self.interface)
        pids = [option + str(case.folder / f"{name}{side}.pid") for option, name in (("--pid=", "main"), ("--vrrp_pid=", "vrrp"))]
        self.process = subprocess.Popen([*case.inside(side), "keepalived", "--vrrp", "--dont-fork", *pids, "-f", str(config)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        case.addCleanup(self.end)

    def is_master(self):
        return f"inet {carp_test.VIRTUAL}/" in carp_test.ip("-n", self.namespace, "addr", "show", "dev", self.interface)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Segment:
    """The segment of the smoke test, outside a test."""

    def __enter__(self):
        self.case = carp_test.Carp("assert_answers")
        self.case.setUp()
        return self.case

    def __exit__(self, *_):
        self.case.doCleanups()


def node(case, kind, side):
    if kind == "pfsyncd":
        return carp_test.Pfsyncd(case, side, skew=100 * side)
    if kind == "ucarp":
        return carp_test.Ucarp(case, side, skew=100 * side)
    return Keepalived(case, side, priority=150 - 50 * side)


def go(case, kind, way, leader):
    if way == "cut":
        carp_test.ip("-n", case.namespaces[2], "link", "set", "port-0", "down")
    elif way == "stopped":
        leader.process.terminate()
    elif kind == "pfsyncd":
        leader.ask("carp", do="maintenance", on=True)
    else:
        leader.process.send_signal(signal.SIGUSR2)


def run(kind, way, number):
    """(questions without an answer, longest time between two answers in s)"""
    chance = random.Random(number)
    with Segment() as case:
        leader = node(case, kind, 0)
        tap.eventually(leader.is_master, WAIT_S, f"{kind} leads")
        other = node(case, kind, 1)
        time.sleep(1.5)
        ping = carp_test.Ping(case.inside(2), carp_test.VIRTUAL, interval_s=0.01)
        time.sleep(0.5 + chance.random())  # anywhere between two advertisements
        go(case, kind, way, leader)
        tap.eventually(other.is_master, WAIT_S, f"the other {kind} leads")
        time.sleep(1.5)
        return ping.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--build", default=str(ROOT / "build"))
    options = parser.parse_args()
    os.environ["PFSYNCD"] = str(pathlib.Path(options.build) / "engine" / "dpdk" / "pfsyncd")
    global carp_test, tap
    import carp_test
    import tap
    print(f"{'':10} {'':8} {'runs':>4}   {'gap, ms':>17}   {'pings lost':>17}")
    print(f"{'':10} {'':8} {'':>4}   {'median':>8} {'worst':>8}   {'median':>8} {'worst':>8}")
    with concurrent.futures.ProcessPoolExecutor(options.at_once) as pool:
        for kind in ("pfsyncd", "ucarp", "keepalived"):
            if kind != "pfsyncd" and not shutil.which(kind):
                print(f"{kind:10} is not installed")
                continue
            for way in ("cut", "planned", "stopped"):
                if (kind, way) == ("keepalived", "planned"):
                    continue  # it has no such order
                results = list(pool.map(run, [kind] * options.runs, [way] * options.runs, range(options.runs)))
                gaps = [1000 * gap for _, gap in results]
                lost = [count for count, _ in results]
                print(f"{kind:10} {way:8} {len(results):>4}   {statistics.median(gaps):>8.0f} {max(gaps):>8.0f}   "
                      f"{statistics.median(lost):>8.0f} {max(lost):>8}", flush=True)


if __name__ == "__main__":
    main()

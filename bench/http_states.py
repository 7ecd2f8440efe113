#!/usr/bin/env python3
"""How long a page of states takes over HTTPS when the table is full, and what it costs whoever asks the control thread meanwhile.

usage: bench/http_states.py [--states 10000000] [--build build]

One pfsyncd on a device that loses everything plays a firewall with so many states (0.4 GB a million). One client asks for pages of 50, as the web page does,
each after the answer to the one before: the first hundred, then two whole walks with filters that nothing fits. Another asks the control socket every 5 ms.
"""
import argparse
import http.client
import json
import pathlib
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts")]
from daemon import Daemon  # noqa: E402

WAIT_S = 300
CONFIG = """
[link]
device = "net_null0"
address = "192.0.2.1/24"
[table]
states_max = {room}
memory = "grow"
[table.timeouts]
tcp_first = 86400
tcp_opening = 86400
tcp_established = 86400
[sync]
request_bulk = false
[http]
listen = "127.0.0.1:{port}"
read = "anyone"
[synthetic]
states = {states}
fill_per_s = 1000000
new_per_s = 0
updates_per_s = 0
tcp_percent = 100
udp_percent = 0
"""


class Beside(threading.Thread):
    """Asks on the control socket until it is stopped: `took` in ms."""

    def __init__(self, node):
        super().__init__()
        self.node, self.stopped, self.took = node, threading.Event(), []
        self.start()

    def run(self):
        while not self.stopped.wait(0.005):
            began = time.perf_counter()
            self.node.ask("show", what="bulk")
            self.took.append(1000 * (time.perf_counter() - began))

    def stop(self):
        self.stopped.set()
        self.join()
        return self.took


def walk(client, words, pages=None):
    """(ms of each answer, states found, places looked at) of pages of 50, to the end or so many."""
    took, found, cursor = [], 0, None
    while pages is None or len(took) < pages:
        query = {"limit": 50} | ({"filter": words} if words else {}) | ({"cursor": f"{cursor['shard']}.{cursor['slot']}"} if cursor else {})
        began = time.perf_counter()
        client.request("GET", "/api/show/states?" + urllib.parse.urlencode(query))
        response = client.getresponse()
        answer = json.loads(response.read())
        took.append(1000 * (time.perf_counter() - began))
        if response.status != 200:
            raise SystemExit(f"refused: {answer['error']}")
        found += len(answer["states"])
        cursor = answer["cursor"]
        if cursor is None:
            break
    return took, found, answer["progress"]["at"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=10_000_000)
    parser.add_argument("--build", default=str(ROOT / "build"))
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wanted = options.states + options.states // 5000  # a few are of a connection that is there already
    with tempfile.TemporaryDirectory(prefix="pfsync-http-states-") as folder:
        node = Daemon("node", pathlib.Path(options.build) / "engine" / "dpdk" / "pfsyncd", folder,
                      CONFIG.format(states=wanted, room=wanted + wanted // 20, port=port), state_dir=pathlib.Path(folder) / "state")
        node.start()
        try:
            node.await_socket(WAIT_S)
            until = time.monotonic() + WAIT_S
            while node.status()["states"] < options.states and time.monotonic() < until:
                time.sleep(0.2)
            print(f"{node.status()['states']:,} states")
            print(f"{'':28} {'answers':>7} {'states':>7} {'places':>11} {'all, s':>7}   {'answer, ms: median':>18} {'longest':>8}   {'control socket: median':>22} {'longest':>8}")
            client = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=ssl._create_unverified_context())
            for name, words, pages in (("the first hundred pages", "", 100), ("\"creator ffffffff\"", "creator ffffffff", None),
                                       ("\"host 203.0.113.9 port 1\"", "host 203.0.113.9 port 1", None)):
                beside, began = Beside(node), time.perf_counter()
                try:
                    took, found, places = walk(client, words, pages)
                finally:
                    whole, asked = time.perf_counter() - began, beside.stop()
                print(f"{name:28} {len(took):>7} {found:>7,} {places:>11,} {whole:>7.1f}   {statistics.median(took):>18.1f} {max(took):>8.1f}   "
                      f"{statistics.median(asked):>22.1f} {max(asked):>8.1f}", flush=True)
            client.close()
        finally:
            node.end()


if __name__ == "__main__":
    main()

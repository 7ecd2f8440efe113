#!/usr/bin/env python3
"""How much of a link's ceiling does the engine reach? Two processes on each kind of link that DPDK offers without a NIC.

raw:    the bare port driven by a plain sender: one prepared frame, copied into every buffer
engine: updates of random states of a table: update, write, send; receive, check, apply
ack:    a new state whose sender waits for INS_ACK, one at a time
through (with --cores): a plain sender's updates, each newer than the last; receive, check, apply, pass on to a second
        peer, send; by that many data-path cores

usage: link_rate.py [--runs N] [--seconds S] [--links memif,ring,af_packet,af_xdp] [--cores 1,2] [--json FILE]
Raw and engine runs take turns; what is printed is medians. veth needs root: a namespace of its own, removed at the end.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
MODES = ("raw", "engine", "ack")
FRAME_BITS = (1514 + 24) * 8  # with CRC, preamble and gap


class Trouble(Exception):
    pass


class Memif:
    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="pfsync-link-", dir="/tmp")
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def devices(self):
        options = f"socket-abstract=no,socket={self.folder.name}/link.sock,id=0,rsize=12"
        return [f"net_memif0,role=client,{options}", f"net_memif0,role=server,{options}"]

    prefix = ()


class Ring:
    """One port that receives what it sends: both ends in one process, on one core."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def devices(self):
        return ["net_ring0"]

    prefix = ()


class Veth:
    def __init__(self, driver):
        self.driver = driver
        self.namespace = f"pflink{os.getpid()}"
        self.prefix = ("ip", "netns", "exec", self.namespace)

    def ip(self, *words):
        done = subprocess.run(("ip", *words), capture_output=True, text=True)
        if done.returncode != 0:
            raise Trouble(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def __enter__(self):
        self.ip("netns", "add", self.namespace)
        self.ip("-n", self.namespace, "link", "add", "link0", "type", "veth", "peer", "name", "link1")
        for name in ("link0", "link1"):
            self.ip("-n", self.namespace, "link", "set", name, "up")
        return self

    def __exit__(self, *_):
        subprocess.run(("ip", "netns", "del", self.namespace), capture_output=True)

    def devices(self):
        return [f"net_{self.driver}0,iface={name}" for name in ("link0", "link1")]


LINKS = {"memif": Memif, "ring": Ring, "af_packet": lambda: Veth("af_packet"), "af_xdp": lambda: Veth("af_xdp")}


class End:
    def __init__(self, program, link, device, role, mode, seconds, cores=1):
        self.process = subprocess.Popen(
            [*link.prefix, program, "--device", device, "--role", role, "--mode", mode, "--seconds", str(seconds),
             "--cores", str(cores)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise Trouble(self.words())

    def words(self):
        self.process.kill()
        return self.process.communicate()[1].strip() or "link_rate ended without a word"

    def result(self, seconds):
        """What it measured; it stays until end()."""
        patience = threading.Timer(seconds + 40, self.process.kill)
        patience.start()
        lines = []
        for line in self.process.stdout:
            if line == "done\n":
                break
            lines.append(line)
        else:
            raise Trouble(f"link_rate ended with {self.process.wait()}: {self.process.stderr.read().strip() or 'without a word'}")
        patience.cancel()
        return json.loads(lines[-1]) if lines else None

    def end(self):
        try:
            self.process.communicate("", timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def one_run(program, name, mode, seconds, cores=1):
    with LINKS[name]() as link:
        devices, ends = link.devices(), []
        try:
            if len(devices) == 1:
                ends.append(End(program, link, devices[0], "both", mode, seconds))
                return ends[0].result(seconds)
            for device, role in zip(reversed(devices), ("receiver", "sender")):
                ends.append(End(program, link, device, role, mode, seconds, cores))
            results = [end.result(seconds) for end in ends]
            return results[1] if mode == "ack" else results[0]
        finally:
            for end in ends:
                end.end()


def median(results, key):
    return statistics.median(result[key] for result in results)


def measure(program, name, runs, seconds):
    modes = [mode for mode in MODES if not (mode == "ack" and name == "ring")]
    results = {mode: [] for mode in modes}
    for number in range(runs):
        for mode in modes:
            print(f"\r{name}: run {number + 1} of {runs}, {mode}   ", end="", file=sys.stderr, flush=True)
            results[mode].append(one_run(program, name, mode, seconds))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
    row = {"link": name, "raw_frames_per_s": median(results["raw"], "frames_per_s")}
    engine = results["engine"]
    row["engine_frames_per_s"] = median(engine, "frames_per_s")
    row["engine_states_per_s"] = median(engine, "states_per_s")
    row["share_of_raw"] = row["engine_frames_per_s"] / row["raw_frames_per_s"]
    row["share_of_10gbe"] = row["engine_frames_per_s"] * FRAME_BITS / 10e9
    row["share_of_40gbe"] = row["engine_frames_per_s"] * FRAME_BITS / 40e9
    if "ack" in results:
        row["ack_median_us"] = median(results["ack"], "median_us")
        row["ack_p99_us"] = median(results["ack"], "p99_us")
    return row


def table_rate(build):
    """UPD_C a second that one core puts into the table alone, without a port and without protocol."""
    command = [str(build / "bench" / "state_rate"), "--benchmark_filter=^apply_upd_c/engine/100k$", "--benchmark_format=json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Trouble(f"{command[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)["benchmarks"][0]["items_per_second"]


def measure_through(program, name, runs, seconds, cores):
    """The ceilings of the port and of the table, and each number of cores, in turn."""
    raw, tables, through = [], [], {count: [] for count in cores}
    for number in range(runs):
        print(f"\r{name}: run {number + 1} of {runs}   ", end="", file=sys.stderr, flush=True)
        raw.append(one_run(program, name, "raw", seconds))
        tables.append(table_rate(pathlib.Path(program).parent.parent.parent))
        for count in cores:
            through[count].append(one_run(program, name, "through", seconds, count))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
    ceiling = median(raw, "frames_per_s")
    return [{"link": name, "cores": count, "raw_frames_per_s": ceiling, "table_states_per_s": statistics.median(tables),
             "frames_in_per_s": median(results, "frames_per_s"), "frames_out_per_s": median(results, "frames_out_per_s"),
             "states_per_s": median(results, "states_per_s"), "share_of_raw": median(results, "frames_per_s") / ceiling,
             "states_per_cpu_s": statistics.median(r["states_per_s"] * r["seconds"] / r["cpu_s"] for r in results)}
            for count, results in through.items()]


def through_table(rows):
    lines = ["| link | cores | bare port, frames/s | frames in/s | frames out/s | in / port | UPD_C/s applied and passed on | "
             "/ table | a CPU second |", "|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['link']} | {row['cores']} | {row['raw_frames_per_s']:,.0f} | {row['frames_in_per_s']:,.0f} | "
                     f"{row['frames_out_per_s']:,.0f} | {row['share_of_raw']:.2f} | {row['states_per_s'] / 1e6:.2f} M | "
                     f"{row['states_per_s'] / row['table_states_per_s']:.2f} | {row['states_per_cpu_s'] / 1e6:.2f} M |")
    return "\n".join(lines)


def table(rows):
    lines = ["| link | bare port, frames/s | engine, frames/s | engine / port | UPD_C/s applied | of 10 GbE | of 40 GbE | "
             "INS to INS_ACK, median (p99) |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        ack = f"{row['ack_median_us']:.1f} us ({row['ack_p99_us']:.1f})" if "ack_median_us" in row else "-"
        lines.append(f"| {row['link']} | {row['raw_frames_per_s']:,.0f} | {row['engine_frames_per_s']:,.0f} | "
                     f"{row['share_of_raw']:.2f} | {row['engine_states_per_s'] / 1e6:.2f} M | {row['share_of_10gbe']:.2f} | "
                     f"{row['share_of_40gbe']:.2f} | {ack} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build"), help="folder of the release build")
    parser.add_argument("--links", default=",".join(LINKS), help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--cores", help="only the way through a node, with these numbers of data-path cores, as 1,2")
    parser.add_argument("--json", metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    names = options.links.split(",")
    if unknown := [name for name in names if name not in LINKS]:
        parser.error(f"unknown link {unknown[0]}: give some of {', '.join(LINKS)}")
    program = pathlib.Path(options.build) / "bench" / "dpdk" / "link_rate"
    if not program.exists():
        print(f"link_rate.py: {program} is not built: run scripts/test --quick, or ninja -C {options.build}", file=sys.stderr)
        return 2
    rows, status = [], 0
    for name in names:
        try:
            if options.cores:
                cores = [int(count) for count in options.cores.split(",")]
                rows += measure_through(str(program), name, options.runs, options.seconds, cores)
            else:
                rows.append(measure(str(program), name, options.runs, options.seconds))
        except Trouble as trouble:
            print(f"\nlink_rate.py: {name}: {trouble}", file=sys.stderr)
            status = 1
    print(through_table(rows) if options.cores else table(rows))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())

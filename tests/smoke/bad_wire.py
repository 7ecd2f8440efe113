"""A wire between two interfaces that loses, doubles and delays frames, each way. It ends when told to, or after so long by itself, and prints what it did:
    bad_wire.py INTERFACE INTERFACE SECONDS SEED
"""
import heapq
import json
import random
import select
import signal
import socket
import sys
import time

LOST, DOUBLED, LATE = 0.1, 0.1, 0.25  # of the frames, each drawn by itself
LATE_S = 0.3                          # at most: many frames, and newer messages of the same states, overtake it
ETH_P_ALL, PACKET_OUTGOING = 3, 4     # packet(7)


def main(interfaces, seconds, seed):
    until = time.monotonic() + seconds

    def end(*_):
        nonlocal until
        until = 0

    signal.signal(signal.SIGTERM, end)
    ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in interfaces]
    for wire_end, interface in zip(ends, interfaces):
        wire_end.bind((interface, ETH_P_ALL))
    print("ready", flush=True)
    random_ = random.Random(seed)
    counts = dict.fromkeys(("arrived", "lost", "doubled", "overtaken"), 0)
    waiting = []        # (when it leaves, its number, where, frame)
    newest = [0, 0]     # of what has left at either end
    while time.monotonic() < until or waiting:
        patience_s = waiting[0][0] - time.monotonic() if waiting else 0.05
        readable = select.select(ends, (), (), min(max(patience_s, 0), 0.05))[0] if time.monotonic() < until else ()
        for wire_end in readable:
            frame, (_, _, kind, *_) = wire_end.recvfrom(1 << 16)
            if kind == PACKET_OUTGOING:
                continue
            counts["arrived"] += 1
            if random_.random() < LOST:
                counts["lost"] += 1
                continue
            doubled = random_.random() < DOUBLED
            counts["doubled"] += doubled
            for _ in range(1 + doubled):
                late_s = random_.uniform(0, LATE_S) if random_.random() < LATE else 0
                heapq.heappush(waiting, (time.monotonic() + late_s, counts["arrived"], 1 - ends.index(wire_end), frame))
        while waiting and (waiting[0][0] <= time.monotonic() or until == 0):
            _, number, to, frame = heapq.heappop(waiting)
            counts["overtaken"] += number < newest[to]
            newest[to] = max(newest[to], number)
            ends[to].send(frame)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:3], float(sys.argv[3]), int(sys.argv[4]))

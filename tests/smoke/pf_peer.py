"""Plays a pf firewall's pfsync over a raw socket, by the layouts that were written down from the systems' sources and apart from the code under
test: announces connections, answers requests, asks for what it does not know, skips states of interfaces that it has not.

usage: pf_peer.py OWN PEER [--interface NAME] [--knows NAME]… [--new-per-s N] [--fault deaf|mute|loss|names]

A fault begins with SIGUSR1: it no longer takes what comes, no longer sends, loses one packet in a hundred both ways, or opens connections on
an interface of another name.
"""
import argparse
import json
import pathlib
import random
import select
import signal
import socket
import struct
import time

PFSYNC = 240
LAYOUTS = json.loads((pathlib.Path(__file__).resolve().parent.parent / "vectors/pfsync-layouts.json").read_text())
CLR, INS, INS_ACK, UPD, UPD_C, UPD_REQ, DEL, DEL_C, BUS, EOF = 0, 1, 2, 3, 4, 5, 6, 7, 10, 12
ACTIONS = {action["number"]: action for action in LAYOUTS["actions"]["freebsd-1301"]}
STRUCTS = {struct_["name"]: struct_ for struct_ in LAYOUTS["structs"]}
MTU, HEADERS = 1500, 20 + 20 + 4 + 4  # IP, pfsync, one subheader, EOF
LASTING, OLD_S, LIFE_S = 20, 100, 8
TCP, ESTABLISHED, TIMEOUT_ESTABLISHED = 6, 4, 2
BUS_START, BUS_END = 1, 2


def pack(name, **values):
    """A message of that layout; what is not given is zero."""
    layout = STRUCTS[name]
    room = bytearray(layout["size"])
    for field in layout["fields"]:
        value = values.pop(field["field"], None)
        if value is not None:
            room[field["offset"]:field["offset"] + field["size"]] = (
                value.ljust(field["size"], b"\0") if isinstance(value, bytes) else value.to_bytes(field["size"], "big"))
    assert not values, values
    return bytes(room)


def read(name, message, field):
    place = next(one for one in STRUCTS[name]["fields"] if one["field"] == field)
    return message[place["offset"]:place["offset"] + place["size"]]


class Firewall:
    def __init__(self, options):
        self.options = options
        self.creator = socket.inet_aton(options.own)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, PFSYNC)
        self.socket.bind((options.own, 0))
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        self.fault = None
        self.interface = options.interface
        self.known = set()    # ids of others' states that it has
        self.own = {}         # number → (when it began, how far it has come, interface)
        self.last_number = 0
        self.asked = False
        signal.signal(signal.SIGUSR1, self.begin_fault)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def begin_fault(self, *_):
        self.fault = self.options.fault
        if self.fault == "names":
            self.interface = "igb7"

    # --- what it says ----------------------------------------------------------------------------------

    def send(self, action, messages):
        """As many packets as it takes, each as full as an MTU of 1500 lets it be."""
        size = ACTIONS[action]["message_size"]
        a_packet = (MTU - HEADERS) // size
        for at in range(0, len(messages), a_packet):
            part = messages[at:at + a_packet]
            body = struct.pack("!BBH", action, 0, len(part)) + b"".join(part) + struct.pack("!BBH", EOF, 0, 1)
            packet = struct.pack("!BBH16x", 5, 0, 20 + len(body)) + body
            if self.fault == "mute" or (self.fault == "loss" and random.random() < 0.01):
                continue
            self.socket.sendto(packet, (self.options.peer, 0))

    def content(self, number):
        began, moved, interface = self.own[number]
        sides = {}
        for side, first in (("src", 1000), ("dst", 5000)):
            sides |= {f"{side}.seqlo": first + moved, f"{side}.seqhi": first + moved + 65000, f"{side}.max_win": 500,
                      f"{side}.state": ESTABLISHED}
        return began, interface, sides

    def full(self, number):
        began, interface, sides = self.content(number)
        keys = {}
        for key in (0, 1):
            keys |= {f"key[{key}].addr[0]": bytes([10, 2, 0, 100]), f"key[{key}].port[0]": 80, f"key[{key}].port[1]": 1024,
                     f"key[{key}].addr[1]": self.creator[3:] + number.to_bytes(3, "big")}
        return pack("state_1301", id=number.to_bytes(8, "big"), creatorid=self.creator, ifname=interface.encode(), **keys, **sides,
                    rule=0xffffffff, anchor=0xffffffff, nat_rule=0xffffffff, creation=int(time.monotonic() - began), expire=86400,
                    af=socket.AF_INET, proto=TCP, direction=2, timeout=TIMEOUT_ESTABLISHED)

    def brief(self, number):
        _, _, sides = self.content(number)
        return pack("upd_c.freebsd", id=number.to_bytes(8, "big"), creatorid=self.creator, timeout=TIMEOUT_ESTABLISHED, **sides)

    def open(self, count, age=0.0):
        numbers = range(self.last_number + 1, self.last_number + 1 + count)
        for number in numbers:
            self.own[number] = (time.monotonic() - age, 0, self.interface)
        self.last_number += count
        self.send(INS, [self.full(number) for number in numbers])

    def transfer(self):
        """Each of its connections has moved on."""
        for number, (began, moved, interface) in self.own.items():
            self.own[number] = (began, moved + 100, interface)
        self.send(UPD_C, [self.brief(number) for number in self.own])

    def close_old(self):
        now = time.monotonic()
        ended = [number for number, (began, _, _) in self.own.items() if LIFE_S < now - began < OLD_S - 1]
        self.send(DEL_C, [pack("del_c", id=number.to_bytes(8, "big"), creatorid=self.creator) for number in ended])
        for number in ended:
            del self.own[number]

    def status(self, word, age=0):
        self.send(BUS, [pack("bus", creatorid=self.creator, endtime=age, status=word)])

    # --- what it hears ---------------------------------------------------------------------------------

    def take(self, packet):
        if self.fault == "deaf" or (self.fault == "loss" and random.random() < 0.01):
            return
        payload = packet[20:]
        _, _, length = struct.unpack_from("!BBH", payload)
        at, wanted = 20, []
        while at < length:
            number, _, count = struct.unpack_from("!BBH", payload, at)
            at += 4
            action = ACTIONS.get(number)
            if number == EOF or action is None or action["message_size"] is None:
                break  # badact: the rest is dropped
            for _ in range(count):
                self.hear(number, action["message"], payload[at:at + action["message_size"]], wanted)
                at += action["message_size"]
        self.send(UPD_REQ, wanted)

    def hear(self, number, layout, message, wanted):
        identity = (read(layout, message, "id"), read(layout, message, "creatorid")) if number not in (CLR, BUS) else None
        mine = int.from_bytes(identity[0], "big") if identity and identity[1] == self.creator else None
        if number in (INS, UPD):
            name = read(layout, message, "ifname").rstrip(b"\0").decode()
            if not self.options.knows or name in self.options.knows:
                self.known.add(identity)
        elif number == UPD_C and identity not in self.known and mine not in self.own:
            wanted.append(pack("upd_req", id=identity[0], creatorid=identity[1]))
        elif number == DEL_C:
            self.known.discard(identity)
        elif number == UPD_REQ and identity == (bytes(8), bytes(4)):
            self.status(BUS_START)
            self.send(UPD, [self.full(number) for number in self.own])
            self.status(BUS_END)
        elif number == UPD_REQ and mine in self.own:
            self.send(UPD, [self.full(mine)])
        elif number == UPD_REQ and identity in self.known:
            # What it has of others: all that was heard is its identity, and that is all that its receiver looks at here.
            self.send(UPD, [pack("state_1301", id=identity[0], creatorid=identity[1], ifname=b"all", af=socket.AF_INET, proto=TCP,
                                 timeout=TIMEOUT_ESTABLISHED)])

    def run(self):
        self.open(LASTING, age=OLD_S)
        self.status(BUS_START)  # whoever has asked before it was there
        self.status(BUS_END)
        turn_s, heard_late_max = 0.1, 100
        due = time.monotonic()
        for turn in range(1_000_000):
            # A turn that comes late is not made up for, and what came is heard before it: or on a busy machine it would only speak.
            due = max(due + turn_s, time.monotonic())
            late = 0
            while late < heard_late_max and select.select([self.socket], [], [], max(due - time.monotonic(), 0))[0]:
                self.take(self.socket.recv(2048))
                late += time.monotonic() >= due
            self.open(max(self.options.new_per_s // 10, 1))
            if turn % 10 == 9:
                self.transfer()
                self.close_old()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("own")
    parser.add_argument("peer")
    parser.add_argument("--interface", default="all")
    parser.add_argument("--knows", action="append", default=[])
    parser.add_argument("--new-per-s", type=int, default=20)
    parser.add_argument("--fault")
    Firewall(parser.parse_args()).run()


if __name__ == "__main__":
    main()

"""Reads a capture and the pfsync packets in it, apart from the code under test. Raises ValueError where a packet is wrong."""
import collections
import ipaddress
import json
import pathlib
import struct

PFSYNC = 240
EOF = "EOF"

LAYOUTS = pathlib.Path(__file__).resolve().parent.parent / "vectors/pfsync-layouts.json"
ACTIONS = {action["number"]: action for action in json.loads(LAYOUTS.read_text())["actions"]["freebsd-1301"]}

Header = collections.namedtuple("Header", "src dst tos ttl dont_fragment total_bytes")
Packet = collections.namedtuple("Packet", "ether_dst ether_src src dst tos ttl dont_fragment total_bytes messages")


def frames(path):
    """Every frame of a pcap file. Source: pcap-savefile(5)."""
    data = pathlib.Path(path).read_bytes()
    magic = data[:4]
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[magic]
    link_type, = struct.unpack_from(order + "I", data, 20)
    if link_type != 1:
        raise ValueError(f"link type {link_type} is not Ethernet")
    at = 24
    while at < len(data):
        captured, original = struct.unpack_from(order + "II", data, at + 8)
        if captured != original:
            raise ValueError(f"a frame of {original} bytes was cut to {captured}")
        yield data[at + 16:at + 16 + captured]
        at += 16 + captured


def ones_sum(data):
    """RFC 1071: 0xffff over a header with its own right checksum."""
    total = sum(word for word, in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def messages(payload):
    """Action name → count, of a whole pfsync packet that ends in EOF."""
    version, _, length = struct.unpack_from("!BBH", payload)
    if version != 5:
        raise ValueError(f"pfsync version {version}")
    if length != len(payload):
        raise ValueError(f"pfsync length {length} in {len(payload)} bytes")
    found, at = collections.Counter(), 20
    while at < length:
        number, pad, count = struct.unpack_from("!BBH", payload, at)
        action = ACTIONS[number]
        if pad or not count or action["message_size"] is None:
            raise ValueError(f"section {action['name']} with pad {pad} and count {count}")
        at += 4 + count * action["message_size"]
        found[action["name"]] += count
        if action["name"] == EOF and at != length:
            raise ValueError(f"EOF ends at {at} of {length}")
    if at != length or not found[EOF]:
        raise ValueError(f"no EOF at the end: {dict(found)}")
    return found


def read_ipv4(ip):
    if ip[0] != 0x45:
        raise ValueError(f"version and header length {ip[0]:#x}")
    if ones_sum(ip[:20]) != 0xffff:
        raise ValueError(f"wrong header checksum in {ip[:20].hex()}")
    tos, total, _, fragment, ttl = struct.unpack_from("!BHHHB", ip, 1)
    if fragment & 0xbfff:  # all but DF
        raise ValueError(f"fragment field {fragment:#x}")
    return Header(ipaddress.ip_address(ip[12:16]), ipaddress.ip_address(ip[16:20]), tos, ttl, bool(fragment), total), ip[20:total]


def read_ipv6(ip):
    word, payload, _, hops = struct.unpack_from("!IHBB", ip)
    if word >> 28 != 6:
        raise ValueError(f"version {word >> 28}")
    total = 40 + payload
    # Routers do not fragment IPv6: as if DF were set.
    return Header(ipaddress.ip_address(ip[8:24]), ipaddress.ip_address(ip[24:40]), word >> 20 & 0xff, hops, True, total), ip[40:total]


IP = {0x0800: (9, read_ipv4), 0x86dd: (6, read_ipv6)}  # Ethernet type → where the protocol stands, how to read


def pfsync_packets(path):
    for frame in frames(path):
        ether_type, = struct.unpack_from("!H", frame, 12)
        ip = frame[14:]
        if ether_type in IP and ip[IP[ether_type][0]] == PFSYNC:
            header, payload = IP[ether_type][1](ip)
            yield Packet(frame[:6].hex(":"), frame[6:12].hex(":"), str(header.src), str(header.dst), *header[2:], messages(payload))

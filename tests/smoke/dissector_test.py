"""scripts/pfsync.lua under Debian's tshark: every field of every message, against the bytes and the captures."""
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

import tap

EXAMPLES = json.loads((tap.ROOT / "tests/vectors/pfsync-examples.json").read_text())["packets"]
CAPTURES = sorted((tap.ROOT / "tests/captures/freebsd12-pair").glob("0[2-7]*.pcap")) + sorted(
    (tap.ROOT / "tests/captures/pfsync-synthetic").glob("*.pcap"))
REPLAY = os.environ["PFSYNC_REPLAY"]
LINKTYPE_RAW = 101


def tshark(capture, *arguments):
    run = subprocess.run(["tshark", "-X", f"lua_script:{tap.ROOT / 'scripts/pfsync.lua'}", "-n", "-r", capture, *arguments],
                         capture_output=True, timeout=200)
    text = run.stdout.decode(errors="replace")
    problem = run.stderr.decode(errors="replace")
    if run.returncode != 0 or "Lua" in problem:
        raise AssertionError(f"tshark ended with {run.returncode}: {problem}")
    return text


def write_pcap(path, packets):
    """packets: bytes from the IP header on, and how many of them were captured."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_RAW))
        for number, (packet, captured) in enumerate(packets):
            file.write(struct.pack("<IIII", number, 0, captured, len(packet)) + packet[:captured])


def filter_name(field):
    """The kernels' name of a field -> its name as a filter."""
    name = field.replace("key[0]", "key.wire").replace("key[1]", "key.stack").lstrip("_")
    return "pfsync." + re.sub(r"\[(\d)\]", r"\1", name)


def expected_fields(example):
    for section in example["sections"]:
        for message in section["messages"]:
            for field, value in message["fields"].items():
                name = filter_name(field)
                if section["message"].startswith("tdb") and name == "pfsync.dst":
                    name = "pfsync.tdb_dst"
                yield name, value


class Dissector(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pfsync-smoke-")
        self.addCleanup(folder.cleanup)
        self.pcap = pathlib.Path(folder.name) / "packets.pcap"

    def test_every_field_of_every_message_shows_its_bytes(self):
        packets = [bytes.fromhex(example["packet_hex"]) for example in EXAMPLES]
        write_pcap(self.pcap, [(packet, len(packet)) for packet in packets])
        shown = xml.etree.ElementTree.fromstring(tshark(self.pcap, "-T", "pdml")).findall("packet")
        self.assertEqual(len(shown), len(EXAMPLES))
        dialects = set()
        for example, packet in zip(EXAMPLES, shown):
            proto = packet.find("proto[@name='pfsync']")
            self.assertIsNotNone(proto, example["name"])
            begin = [int(section["offset"]) for section in example["sections"]]
            records = [field for field in proto.iter("field")
                       if field.get("name").startswith("pfsync.") and field.get("value") is not None
                       and field.get("name") not in ("pfsync.ip", "pfsync.ipv6", "pfsync.extra")
                       and int(field.get("pos")) >= 4 + begin[0]
                       and not any(at <= int(field.get("pos")) < at + 4 for at in begin)]
            found = [(field.get("name"), field.get("value")) for field in records]
            self.assertEqual(found, list(expected_fields(example)), example["name"])
            dialects.add(example["dialect"])
        self.assertEqual(len(dialects), 4)

    def test_messages_are_named_as_the_replay_counts_them(self):
        for capture in CAPTURES:
            counts = json.loads(subprocess.run([REPLAY, "--json", "--no-expire", capture], capture_output=True, check=True).stdout)
            shown = {}
            for line in tshark(capture, "-Y", "pfsync", "-T", "fields", "-e", "_ws.col.Info").splitlines():
                for word, count in re.findall(r"([A-Z_]+) x(\d+)", line):
                    shown[word.lower()] = shown.get(word.lower(), 0) + int(count)
            said = {word: count for word, count in counts["messages"].items() if count and word != "eof"}
            self.assertTrue(said, capture.name)
            self.assertEqual(shown, said, capture.name)

    def test_capture_02_names_every_message(self):
        text = tshark(CAPTURES[0], "-Y", "pfsync", "-O", "pfsync")
        self.assertEqual(len(re.findall(r"^ {8}INS id ", text, re.MULTILINE)), 14)
        self.assertEqual(len(re.findall(r"^ {8}UPD_C id ", text, re.MULTILINE)), 12)
        self.assertNotIn("action: 12\n", text)
        self.assertNotIn("Expert Info (Error", text)

    def test_garbage_is_shown_as_such(self):
        chance = random.Random(1)
        packets = []
        for example in EXAMPLES:
            packet = bytes.fromhex(example["packet_hex"])
            packets += [(packet, captured) for captured in range(len(packet))]
            for _ in range(100):
                broken = bytearray(packet)
                for _ in range(chance.randint(1, 4)):
                    broken[chance.randrange(example["pfsync_offset"], len(broken))] = chance.randrange(256)
                packets.append((bytes(broken), len(broken)))
        write_pcap(self.pcap, packets)
        text = tshark(self.pcap, "-O", "pfsync")
        self.assertEqual(len(re.findall(r"^Frame \d+:", text, re.MULTILINE)), len(packets))
        self.assertNotIn("Lua Error", text)
        self.assertIn("Cut short", text)
        self.assertIn("No known action", text)


if __name__ == "__main__":
    sys.exit(tap.main())

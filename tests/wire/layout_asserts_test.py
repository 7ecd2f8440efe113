#!/usr/bin/env python3
"""What the generator must not let through; usage: layout_asserts_test.py LAYOUTS.json"""
import copy
import json
import sys
import unittest

import layout_asserts

FACTS = {}


def struct(facts, name):
    return next(s for s in facts["structs"] if s["name"] == name)


class Generator(unittest.TestCase):
    def setUp(self):
        self.facts = copy.deepcopy(FACTS)

    def refuses(self):
        with self.assertRaises((KeyError, ValueError)):
            layout_asserts.header(self.facts, "freebsd-1301")

    def test_asserts_every_field(self):
        for dialect in layout_asserts.DIALECTS:
            text = layout_asserts.header(self.facts, dialect)
            for s in self.facts["structs"]:
                if dialect in s["dialects"]:
                    for field in s["fields"]:
                        self.assertIn(f'"{s["name"]}.{field["field"]}"', text)

    def test_covers_every_dialect_and_struct_of_the_facts(self):
        self.assertEqual(set(layout_asserts.DIALECTS), {d for s in self.facts["structs"] for d in s["dialects"]})
        self.assertEqual(set(layout_asserts.STRUCTS), {s["name"] for s in self.facts["structs"]})

    def test_refuses_an_unknown_struct(self):
        struct(self.facts, "bus")["name"] = "bus_2"
        self.refuses()

    def test_refuses_an_unknown_field(self):
        struct(self.facts, "bus")["fields"][0]["field"] = "hostid"
        self.refuses()

    def test_refuses_a_gap_between_fields(self):
        struct(self.facts, "state_1301")["fields"].pop(5)
        self.refuses()

    def test_refuses_a_size_that_the_fields_do_not_fill(self):
        struct(self.facts, "clr")["size"] = 24
        self.refuses()

    def test_refuses_a_dialect_without_structs(self):
        with self.assertRaises(KeyError):
            layout_asserts.header(self.facts, "freebsd-9999")


if __name__ == "__main__":
    with open(sys.argv.pop(1), encoding="utf-8") as file:
        FACTS = json.load(file)
    unittest.main()

"""The programs that are shipped are hardened: what their headers say, as the loader and the kernel read them."""
import os
import pathlib
import re
import subprocess
import unittest

import tap

PROGRAMS = [pathlib.Path(os.environ[name]) for name in ("PFSYNCD", "PFSYNCCTL", "PFSYNC_REPLAY") if name in os.environ]


def readelf(what, program):
    return subprocess.run(["readelf", what, "--wide", str(program)], check=True, capture_output=True, text=True, timeout=60).stdout


class Hardened(unittest.TestCase):
    def for_each(self, check):
        self.assertEqual(len(PROGRAMS), 3)
        for program in PROGRAMS:
            check(program)

    def test_stands_at_a_random_address(self):
        def check(program):
            self.assertRegex(readelf("--file-header", program), r"Type:\s+DYN")
            self.assertRegex(readelf("--dynamic", program), r"FLAGS_1\b.*\bPIE\b")
        self.for_each(check)

    def test_binds_all_symbols_at_the_start_and_makes_the_tables_read_only(self):
        def check(program):
            self.assertRegex(readelf("--dynamic", program), r"FLAGS_1\b.*\bNOW\b")
            self.assertIn("GNU_RELRO", readelf("--program-headers", program))
        self.for_each(check)

    def test_has_no_memory_that_is_written_and_executed(self):
        def check(program):
            segments = re.findall(r"^\s+(LOAD|GNU_STACK)\s+(?:0x[0-9a-f]+\s+){5}(R?\s?W?\s?E?)\s+0x", readelf("--program-headers", program), re.M)
            self.assertIn("GNU_STACK", [kind for kind, _ in segments])
            for kind, flags in segments:
                self.assertFalse("W" in flags and "E" in flags, f"{kind} {flags}")
        self.for_each(check)

    def test_checks_buffers_containers_and_the_stack_as_it_runs(self):
        def check(program):
            symbols = readelf("--dyn-syms", program)
            self.assertRegex(symbols, r"\b__stack_chk_fail\b")
            self.assertRegex(symbols, r"\b__\w+_chk\b")
            self.assertRegex(symbols, r"\b_ZSt21__glibcxx_assert_fail")
        self.for_each(check)


if __name__ == "__main__":
    tap.main()

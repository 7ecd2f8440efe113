"""The verdict of scripts/soak load: made-up samples of a good run pass, and with one thing wrong in them they do not."""
import copy
import pathlib
import sys
import tempfile
import unittest

import tap

import load_report

STATES, EVERY_S, HOURS = 1000, 5, 1.0


def samples(change=lambda row, at_s: None):
    rows = []
    for number in range(int(HOURS * 3600 / EVERY_S)):
        at_s = number * EVERY_S
        node = {"rss_kib": 200_000 + (1000 if number // 60 % 2 else 0), "heap_kib": 5000 + number % 7, "fds": 22, "threads": 22, "control_ms": 1.0, "page_ms": 40.0, "states": 2 * STATES, "queued": 0,
                "ack_count": 100 * number, "ack_sum_us": 20_000 * number, "totals": {"messages_in": 10_000 * number, "updates": 9000 * number},
                "cpu_s": 0.2 * at_s, "losses": {"imissed": 3}, "verdict": "healthy", "reasons": []}
        row = {"at_s": at_s, "load": 2.0, "A": node, "B": copy.deepcopy(node)}
        change(row, at_s)
        rows.append(row)
    return rows


QUIET = [{"at_s": 600 * number, "same": True, "took_s": 1.0, "states": 2 * STATES, "differences": ""} for number in range(1, 6)]


def failures(change=lambda row, at_s: None, quiet=tuple(QUIET)):
    return load_report.judge(samples(change), list(quiet), HOURS, True, STATES).failures


class Verdict(unittest.TestCase):
    def test_a_good_run_passes(self):
        self.assertEqual(failures(), [])
        self.assertEqual(load_report.judge(samples(), QUIET, HOURS, False, STATES, "it stopped").failures, ["it stopped"])

    def test_what_grows_is_seen(self):
        def leak(word, kib_per_h):
            return lambda row, at_s: row["B"].update({word: row["B"][word] + kib_per_h * at_s / 3600})
        self.assertRegex("".join(failures(leak("heap_kib", 150))), r"B: heap grows by 1\d\d KiB/h")
        self.assertEqual(failures(leak("heap_kib", 20)), [])
        self.assertRegex("".join(failures(leak("rss_kib", 4000))), r"B: memory grows by [34]\d\d\d KiB/h")
        self.assertEqual(failures(leak("rss_kib", 200)), [])
        self.assertRegex("".join(failures(lambda row, at_s: row["A"].update(fds=22 + at_s // 300))), "A: fds grew from 2[0-9] to 3[0-9]")
        self.assertRegex("".join(failures(lambda row, at_s: row["A"].update(control_ms=1 + at_s / 60))), "A: control socket drifts")
        # A busier machine may slow it, but not to a stop.
        def busy(ms):
            return lambda row, at_s: (row.update(load=2 + at_s / 300), row["A"].update(control_ms=1 + ms * at_s / 3600))
        self.assertEqual(failures(busy(50)), [])
        self.assertRegex("".join(failures(busy(5000))), "A: control socket takes")

    def test_what_does_not_work_is_seen(self):
        late = lambda change: lambda row, at_s: change(row["B"], at_s) if at_s > 1800 else None
        cases = [("held fewer", lambda node, at_s: node.update(states=0)),
                 ("hardly heard", lambda node, at_s: node["totals"].update(messages_in=3_600_000)),
                 ("'failed' in", lambda node, at_s: node.update(verdict="failed")),
                 ("'healthy' in .* only: loss_in", lambda node, at_s: node.update(verdict="degraded", reasons=["loss_in"])),
                 ("deletes_dropped rose by", lambda node, at_s: node["losses"].update(deletes_dropped=at_s)),
                 ("table_full rose by", lambda node, at_s: node["losses"].update(table_full=1))]
        for sentence, change in cases:
            with self.subTest(sentence):
                self.assertRegex("\n".join(failures(late(change))), f"B: .*({sentence})")

    def test_quiet_moments_count(self):
        self.assertRegex("".join(failures(quiet=())), "nothing was compared")
        differs = QUIET[:2] + [QUIET[2] | {"same": False, "differences": "3 states only on A"}]
        self.assertRegex("".join(failures(quiet=differs)), "after 30.0 min the digests differ: 3 states only on A")
        self.assertRegex("".join(failures(quiet=[QUIET[0] | {"took_s": 59.9}])), "it took 60 s until both held the same")

    def test_the_report_is_a_page(self):
        verdict = load_report.judge(samples(), QUIET, HOURS, True, STATES)
        with tempfile.TemporaryDirectory(prefix="pfsync-soak-") as folder:
            self.look_at(pathlib.Path(folder), verdict)

    def look_at(self, folder, verdict):
        load_report.write_report(folder / "load.html", verdict, samples(), QUIET, [{"at_s": 1, "what": "B was killed"}] * 2,
                                 {"states": STATES, "new_per_s": 1, "updates_per_s": 1})
        page = (folder / "load.html").read_text()
        self.assertIn("passed: 1.00 of 1 hours", page)
        self.assertIn("B was killed: 2 times", page)
        self.assertEqual(page.count("<svg"), page.count("</svg>"))


if __name__ == "__main__":
    sys.exit(tap.main())

"""What the samples of a soak say: the verdict, and a page with plots that is read in a minute."""
import collections
import dataclasses
import html
import platform
import statistics

# What is not judged by, at the begin of a run: a fifth of it, within these bounds, and never more than half.
WARM_UP_SHARE, WARM_UP_LEAST_S, WARM_UP_MOST_S = 0.2, 300, 1800
JUDGED_LEAST_S = 300                      # a shorter time tells nothing of growth and drift
# Both are exceeded by what counts as a leak: what it came to, in an hour and in all. Of the heap, what was handed out and not given back.
GROWTH_KIB_PER_H, GROWTH_KIB = {"rss_kib": 256, "heap_kib": 64}, {"rss_kib": 512, "heap_kib": 32}
GROWTH_ANY_KIB = 4096                      # and this in however short or long a time
QUIET_MOST_S = 30                          # for both to hold the same once the load stands still
HEALTHY_LEAST = 0.9                        # of the samples
ANSWER_MOST_MS = 2000                      # the median of the last quarter, whatever the machine does besides
# Of these none is lost on such a link, whatever the machine does besides: the queues are longer than what a quiet moment leaves.
NEVER_LOST = ("table_full", "deletes_dropped", "clears_dropped", "snapshot_failures")
FDS_MORE = 4                              # descriptors that a moment's clients may have open
DRIFT = 2.0                               # of the last quarter's median over the first one's
LOAD_RISE = 1.5                           # of the machine's load: above it, longer times are other work's
DRIFT_MS = {"control_ms": 10.0, "page_ms": 50.0, "ack_ms": 0.5}  # and by so much: a machine that is shared is no drift
NAMES = {"control_ms": "control socket", "page_ms": "web page", "ack_ms": "INS to INS_ACK"}
NODES = ("A", "B")
COLOURS = {"A": "#1f6feb", "B": "#d1570b"}


@dataclasses.dataclass
class Verdict:
    sentence: str
    failures: list
    rows: list  # (what, value of A, value of B)


def quarters(values):
    """The first and the last quarter, at least one value each."""
    size = max(len(values) // 4, 1)
    return values[:size], values[-size:]


def series(samples, node, word):
    if word != "ack_ms":
        return [(row["at_s"], row[node][word]) for row in samples]
    points = []
    for before, row in zip(samples, samples[1:]):
        count = row[node]["ack_count"] - before[node]["ack_count"]
        if count > 0:
            points.append((row["at_s"], (row[node]["ack_sum_us"] - before[node]["ack_sum_us"]) / count / 1000))
    return points


def rates(samples, node, word):
    return [(row["at_s"], (row[node]["totals"][word] - before[node]["totals"][word]) / (row["at_s"] - before["at_s"]))
            for before, row in zip(samples, samples[1:])]


def judge_node(samples, node, failures):
    """(memory, its slope, descriptors, threads, latencies), as text; appends to the failures."""
    is_long = samples[-1]["at_s"] - samples[0]["at_s"] >= JUDGED_LEAST_S
    hours = (samples[-1]["at_s"] - samples[0]["at_s"]) / 3600
    rows = {}
    for word, name in (("rss_kib", "memory"), ("heap_kib", "heap")):
        values = [row[node][word] for row in samples]
        first, last = quarters(values)
        # What lists all states takes a megabyte more or less from one time to the next: a leak lifts the least, the median and the most.
        growth = min((of(last) - of(first) for of in (min, statistics.median, max)), key=abs)
        slope = growth / (0.75 * hours) if hours else 0.0  # from the middle of one quarter to that of the other
        # Resident memory moves within a band, by what malloc keeps of what was given back; the heap's own account knows none.
        band = max(first) - min(first) if word == "rss_kib" else 0
        if growth > GROWTH_ANY_KIB or (is_long and growth > max(GROWTH_KIB[word], band) and slope > GROWTH_KIB_PER_H[word]):
            failures.append(f"{node}: {name} grows by {slope:.0f} KiB/h, {growth:.0f} KiB after the warm-up")
        rows |= {f"{name} at the end": f"{values[-1] / 1024:.1f} MiB", f"{name}, growth after the warm-up": f"{growth:+.0f} KiB",
                 f"{name}, slope": f"{slope:+.0f} KiB/h" + ("" if is_long else ", too short a time to judge")}
    for word, more in (("fds", FDS_MORE), ("threads", 0)):
        first, last = quarters([row[node][word] for row in samples])
        rows[word] = f"{max(first)} → {max(last)}"
        if is_long and max(last) > max(first) + more:
            failures.append(f"{node}: {word} grew from {max(first)} to {max(last)}")
    loads = [statistics.median(quarter) for quarter in quarters([row["load"] for row in samples])]
    rows["load of the machine, median"] = f"{loads[0]:.1f} → {loads[1]:.1f}"
    is_long = is_long and loads[1] <= LOAD_RISE * max(loads[0], 1)
    for word, at_least_ms in DRIFT_MS.items():
        values = [value for _, value in series(samples, node, word)]
        if not values:
            continue
        before, after = (statistics.median(quarter) for quarter in quarters(values))
        rows[f"{NAMES[word]}, median"] = f"{before:.2f} → {after:.2f} ms"
        if after > ANSWER_MOST_MS:
            failures.append(f"{node}: {NAMES[word]} takes {after:.0f} ms")
        if is_long and after > DRIFT * before and after > before + at_least_ms:
            failures.append(f"{node}: {NAMES[word]} drifts from {before:.2f} to {after:.2f} ms")
    return rows


def warm_up_s(length_s):
    """What is not judged by, of a run of that length."""
    return min(max(WARM_UP_SHARE * length_s, WARM_UP_LEAST_S), WARM_UP_MOST_S, length_s / 2)


def stood_still(rows, node, word):
    """Whether that total of the node's did not grow between two samples that were no quiet moment's."""
    values = [row[node]["totals"][word] for row in rows]
    return sum(after <= before for before, after in zip(values, values[1:])) > len(values) / 4


def judge(samples, quiet, hours, is_over, states, trouble=""):
    """`states`: that each plays with."""
    failures = [trouble] if trouble else []
    for moment in quiet:
        if not moment["same"]:
            failures.append(f"after {moment['at_s'] / 60:.1f} min the digests differ: {moment['differences']}")
        elif moment["took_s"] > QUIET_MOST_S:
            failures.append(f"after {moment['at_s'] / 60:.1f} min it took {moment['took_s']:.0f} s until both held the same"
                            + (f"; after three: {moment['differences']}" if moment["differences"] else ""))
    if is_over and not quiet:
        failures.append("there was no quiet moment: nothing was compared")
    began, ended = samples[0]["at_s"], samples[-1]["at_s"]
    length = ended - began
    judged = [row for row in samples if row["at_s"] >= began + warm_up_s(length)]
    of_nodes = {node: judge_node(judged, node, failures) for node in NODES}
    for node in NODES:
        last, first = samples[-1][node], judged[0][node]
        if failed := [row["at_s"] for row in judged if row[node]["verdict"] == "failed"]:
            failures.append(f"{node}: its own verdict was 'failed' in {len(failed)} samples, first after {failed[0] / 60:.1f} min")
        healthy = sum(row[node]["verdict"] == "healthy" for row in judged)
        if healthy < HEALTHY_LEAST * len(judged):
            reasons = collections.Counter(reason for row in judged for reason in row[node]["reasons"])
            failures.append(f"{node}: its own verdict was 'healthy' in {healthy} of {len(judged)} samples only: {', '.join(reasons) or 'no reason told'}")
        if len(judged) > 1 and stood_still(judged, node, "messages_in"):
            failures.append(f"{node}: it hardly heard anything of the other")
        if min(row[node]["states"] for row in judged) < states:
            failures.append(f"{node}: it held fewer than the {states:,} states that it plays with")
        for word in NEVER_LOST:
            if more := last["losses"].get(word, 0) - first["losses"].get(word, 0):
                failures.append(f"{node}: {word} rose by {more:,}")
        of_nodes[node]["healthy samples"] = f"{healthy} of {len(judged)}"
        of_nodes[node]["CPU"] = f"{100 * (last['cpu_s'] - first['cpu_s']) / max(ended - judged[0]['at_s'], 1):.0f} %"
        of_nodes[node]["messages heard"] = f"{last['totals']['messages_in']:,}"
        of_nodes[node]["lost or refused here"] = ", ".join(f"{word} {count:,}" for word, count in last["losses"].items()) or "nothing"
    agreed = sum(moment["same"] for moment in quiet)
    sentence = (f"{'FAILED' if failures else 'passed'}{'' if is_over else ' so far'}: {ended / 3600:.2f} of {hours:g} hours, {len(samples)} samples, "
                f"digests equal in {agreed} of {len(quiet)} quiet moments, heap {of_nodes['A']['heap, slope']} and {of_nodes['B']['heap, slope']}")
    words = list(of_nodes["A"])
    return Verdict(sentence, failures, [(word, of_nodes["A"].get(word, ""), of_nodes["B"].get(word, "")) for word in words])


# --- the page ------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 860, 150, 70, 18, 8


def plot(title, unit, lines, marks=(), from_zero=True):
    """An SVG of the lines {name: [(seconds, value)]}; marks: seconds at which something happened."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    end = max(x for x, _ in points) or 1
    high = max(y for _, y in points)
    low = 0 if from_zero else min(y for _, y in points)
    if high <= low:
        high = low + 1

    def place(x, y):
        return f"{LEFT + (WIDTH - LEFT) * x / end:.1f},{TOP + (HEIGHT - BOTTOM - TOP) * (1 - (y - low) / (high - low)):.1f}"

    parts = [f"<h3>{html.escape(title)}, {html.escape(unit)}</h3><svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>",
             f"<rect x='{LEFT}' y='{TOP}' width='{WIDTH - LEFT}' height='{HEIGHT - BOTTOM - TOP}' class='frame'/>"]
    for mark in marks:
        x = LEFT + (WIDTH - LEFT) * min(mark / end, 1)
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' class='mark'/>")
    for value, y in ((high, TOP + 10), (low, HEIGHT - BOTTOM)):
        parts.append(f"<text x='{LEFT - 6}' y='{y}' text-anchor='end'>{value:,.6g}</text>")
    parts.append(f"<text x='{WIDTH}' y='{HEIGHT - 4}' text-anchor='end'>{end / 60:.0f} min</text>")
    for name, line in lines.items():
        if line:
            parts.append(f"<polyline points='{' '.join(place(x, y) for x, y in line)}' stroke='{COLOURS[name]}'><title>{name}</title></polyline>")
    return "".join(parts) + "</svg>"


STYLE = """body{font:14px/1.45 system-ui,sans-serif;max-width:880px;margin:1.5em auto;padding:0 1em}h1{font-size:1.3em}h3{font-size:1em;margin:1.2em 0 .2em}
svg{width:100%}polyline{fill:none;stroke-width:1.2}.frame{fill:none;stroke:#8884}.mark{stroke:#8886;stroke-dasharray:2 3}text{font-size:11px;fill:#666}
table{border-collapse:collapse}td,th{padding:.1em 1em .1em 0;text-align:left}.passed{color:#1a7f37}.failed{color:#cf222e}"""


def write_report(path, verdict, samples, quiet, events, options):
    both = lambda word: {node: series(samples, node, word) for node in NODES}
    moments = [moment["at_s"] for moment in quiet]
    plots = [
        plot("Memory (RSS)", "KiB", both("rss_kib"), moments, from_zero=False),
        plot("Heap in use", "KiB", both("heap_kib"), moments, from_zero=False),
        plot("INS to INS_ACK through both data paths, mean of each sample", "ms", both("ack_ms")),
        plot("Control socket, one status", "ms", both("control_ms")),
        plot("Web page, /metrics over TLS", "ms", both("page_ms")),
        plot("States held", "", both("states"), moments),
        plot("Changes queued", "", both("queued"), moments),
        plot("Updates taken", "per second", {node: rates(samples, node, "updates") for node in NODES}),
        plot("Descriptors", "", both("fds")),
        plot("Threads", "", both("threads")),
    ]
    kind = "failed" if verdict.failures else "passed"
    rows = "".join(f"<tr><th>{html.escape(what)}</th><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for what, a, b in verdict.rows)
    agreed = "".join(f"<tr><td>{moment['at_s'] / 60:.1f} min</td><td>{'equal' if moment['same'] else 'DIFFERENT'}</td><td>{moment['took_s']:.1f} s</td>"
                     f"<td>{moment['states']:,} states</td></tr>" for moment in quiet)
    load = f"{options['states']:,} states, {options['new_per_s']}/s opened and closed, {options['updates_per_s']:,}/s updated, on each node"
    path.write_text(f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>soak: {kind}</title><style>{STYLE}</style>
<h1 class="{kind}">{html.escape(verdict.sentence)}</h1>
<ul>{''.join(f'<li class="failed">{html.escape(line)}</li>' for line in verdict.failures)}</ul>
<p>{html.escape(load)}; {'; '.join(f"{what}: {count} times" for what, count in collections.Counter(event["what"] for event in events).items())}; {html.escape(platform.machine())}, {html.escape(platform.release())}.
A leak lifts the least, the median and the most of a quarter of the time by more than {GROWTH_KIB} KiB, {GROWTH_KIB_PER_H} KiB in an hour; a drift is a last quarter's median above {DRIFT:g} times the first one's,
unless the machine's load rose by half.</p>
<table><tr><th></th><th style="color:{COLOURS['A']}">A</th><th style="color:{COLOURS['B']}">B</th></tr>{rows}</table>
{''.join(plots)}
<h3>Quiet moments (dashed above): the load stands still until both hold the same</h3><table>{agreed}</table></html>
""", encoding="utf-8")

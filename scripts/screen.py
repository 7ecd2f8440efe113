"""Progress for people: a line that is overwritten on a terminal, a line a second in a file."""
import os
import sys
import time

BAR_CELLS = 30


class Screen:
    def __init__(self, out=sys.stdout):
        self.out = out
        self.terminal = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.page_lines = 0
        self.open_line = False
        self.printed_at = -1.0

    def progress(self, text):
        """The state of something that goes on."""
        if self.terminal:
            self._write("\r" + self._cut(text) + "\x1b[K")
            self.open_line = True
        elif time.monotonic() - self.printed_at >= 1:
            self.say(text)
            self.printed_at = time.monotonic()

    def say(self, text):
        """Something that stays."""
        self._write(("\r\x1b[K" if self.open_line else "") + text + "\n")
        self.open_line = False
        self.page_lines = 0

    def end_line(self):
        """What was in progress stays, and something else may write."""
        if self.open_line:
            self._write("\n")
        self.open_line = False

    def page(self, lines, plain):
        """Replaces the page before; where nothing can be replaced, the one line `plain`."""
        if not self.terminal:
            self.say(plain)
            return
        back = f"\x1b[{self.page_lines}A" if self.page_lines else ""
        self._write(back + "".join("\r" + self._cut(line) + "\x1b[K\n" for line in lines))
        self.page_lines = len(lines)

    def _cut(self, text):
        return text[:os.get_terminal_size(self.out.fileno()).columns - 1]

    def _write(self, text):
        self.out.write(text)
        self.out.flush()


def bar(done, total):
    share = min(done / total, 1.0) if total else 0.0
    cells = int(share * BAR_CELLS)
    return f"[{'#' * cells}{'.' * (BAR_CELLS - cells)}] {share:4.0%}"


class Rates:
    """Per second, from numbers that only grow and are looked at now and then."""

    def __init__(self):
        self.at = None
        self.values = {}

    def __call__(self, values):
        now = time.monotonic()
        elapsed = now - self.at if self.at is not None else 0.0
        rates = {word: (value - self.values.get(word, value)) / elapsed if elapsed > 0 else 0.0 for word, value in values.items()}
        self.at, self.values = now, dict(values)
        return rates

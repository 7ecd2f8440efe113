"""Runs a file's unittest cases and prints TAP, so that meson and scripts/count_tests.py count every case."""
import os
import pathlib
import socket
import sys
import time
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

if not os.environ.get("PFSYNCD"):
    sys.exit("PFSYNCD must name the program to test")
PFSYNCD = pathlib.Path(os.environ["PFSYNCD"]).resolve()


class Tap(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.number = 0

    def _line(self, verdict, test, directive="", why=""):
        self.number += 1
        print(f"{verdict} {self.number} - {test.id().split('.', 1)[1]}{directive}")
        for line in why.splitlines():
            print("#", line)
        sys.stdout.flush()

    def addSuccess(self, test):
        self._line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("ok", test, f" # SKIP {reason}")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._line("not ok", test, why=self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self._line("not ok", test, why=self.errors[-1][1])


def main():
    tests = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    print(f"1..{tests.countTestCases()}", flush=True)
    result = Tap()
    tests.run(result)
    return 0 if result.wasSuccessful() else 1


# Below those that the kernel gives to clients, so that none takes it meanwhile; forty for each process, so that two tests at once differ.
_ports = iter(range(20000 + 40 * os.getpid() % 11000, 32000))


def free_port():
    """A TCP port of loopback that nothing listens on, another one each time."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise unittest.SkipTest("no port is free on loopback")


def eventually(condition, seconds, what):
    """The condition's first true value; an AssertionError when there is none in time."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} seconds: {what}")
        time.sleep(0.05)
    return value

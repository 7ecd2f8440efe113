"""The manual pages: sound, and complete by what the programs themselves know."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import tap

FILTER = ("host", "net", "port", "src", "dst", "proto", "on", "creator", "id")
PFSYNCCTL = os.environ.get("PFSYNCCTL", "")
PAGES = [tap.ROOT / path for path in ("engine/dpdk/pfsyncd.8", "engine/dpdk/pfsyncd.toml.5", "engine/ctl/pfsyncctl.8",
                                      "engine/replay/pfsync-replay.1")]
UNKNOWN = "no_such_key"
LINK = "[link]\ndevice = \"net_null0\"\naddress = \"192.0.2.1/24\"\n"
# How a section begins that is not just [NAME], with all that it requires; and those within others.
SECTIONS = {
    "": "",
    "link": LINK + "{}",
    "peer": LINK + "[[peer]]\naddress = \"192.0.2.2\"\n{}",
    "table.timeouts": LINK + "[table.timeouts]\n{}",
    "sync.rule": LINK + "[[sync.rule]]\naction = \"delay\"\nage_s = 1\n{}",
    "carp": LINK + "[[carp]]\nvhid = 1\npassword = \"x\"\naddresses = [\"192.0.2.9/24\"]\n{}",
    "interface": LINK + "[[interface]]\ndevice = \"net_null1\"\naddress = \"198.51.100.1/24\"\n{}",
    "config_sync.compat": LINK + "[config_sync.compat]\nlisten = \"192.0.2.1:443\"\nuser = \"u\"\n{}",
}


def keys_in_code(section):
    """The daemon's own list of what may stand in a section: the refusal of a key that does not exist names those that do."""
    begin = SECTIONS.get(section, f"{LINK}[{section}]\n{{}}") or f"{{}}{LINK}"
    with tempfile.TemporaryDirectory(prefix="pfsync-smoke-") as folder:
        file = pathlib.Path(folder) / "x.toml"
        file.write_text(begin.format(f"{UNKNOWN} = 1\n"))
        done = subprocess.run([str(tap.PFSYNCD), "--check-config", "--config", str(file)], capture_output=True, text=True, timeout=20)
    match = re.search(rf"{UNKNOWN}: unknown key: remove or correct it; known here are (.*)\.$", done.stderr)
    if not match:
        raise AssertionError(f"[{section}] refused otherwise: {done.stderr}")
    return set(match.group(1).split(", "))


def keys_in_manual():
    """By section, what pfsyncd.toml(5) describes."""
    keys, section = {}, None
    for line in PAGES[1].read_text().splitlines():
        if match := re.match(r"\.Ss \[+([a-z_.]+)\]+$", line):
            section = keys.setdefault(match.group(1), set())
        elif match := re.match(r"\.It Cm (\w+) No ", line):
            section.add(match.group(1))
    return keys


def commands(path=()):
    """Every command there is, by what the program offers for completion."""
    for word in completed(*path, ""):
        if re.fullmatch(r"[a-z_]+", word) and word not in FILTER:
            yield (*path, word)
            yield from commands((*path, word))


def completed(*words):
    done = subprocess.run([PFSYNCCTL, "--complete", *words], capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout.splitlines()


class Manual(unittest.TestCase):
    def setUp(self):
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed: scripts/setup installs it")

    def test_pages_have_no_mistakes(self):
        done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", *map(str, PAGES)], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_every_key_is_described_and_no_other(self):
        described = keys_in_manual()
        sections = keys_in_code("") | {name for name in SECTIONS if "." in name}
        self.assertEqual(set(described), sections, "sections of pfsyncd.toml(5), and those in the code")
        for section in sorted(sections):
            below = {name.removeprefix(f"{section}.") for name in sections if name.startswith(f"{section}.")}
            known = keys_in_code(section) - below
            self.assertEqual(described.get(section), known, f"[{section}] in pfsyncd.toml(5), and in the code")

    def test_the_sample_has_every_key(self):
        sample = (tap.ROOT / "engine/dpdk/pfsyncd.toml").read_text()
        for section, keys in keys_in_manual().items():
            if section in ("table.timeouts", "synthetic"):  # some of many, all alike
                continue
            for key in keys:
                self.assertRegex(sample, rf"\b{key}\b", f"[{section}]")

    def test_every_command_and_option_is_described(self):
        page = subprocess.run(["mandoc", "-Tascii", "-O", "width=1000", str(PAGES[2])], capture_output=True, text=True).stdout
        page = re.sub(".\b", "", page)
        for path in commands():
            self.assertRegex(page, rf"(?m)^ +{path[0]}\b", f"pfsyncctl {' '.join(path)}")
            for word in path[1:]:
                self.assertRegex(page, rf"\b{re.escape(word)}\b", f"pfsyncctl {' '.join(path)}")


class CommandLine(unittest.TestCase):
    """What every command of pfsyncctl has in common."""

    NEEDED = {"kill": ["on", "em0"], "carp demote": ["0"], "carp master": ["1"], "carp backup": ["1"], "config rollback": ["1"], "forget": ["192.0.2.1"]}
    ALONE = ("import", "user")  # need no daemon

    def leaves(self):
        paths = list(commands())
        return [path for path in paths if not any(other[:-1] == path for other in paths)]

    def run_it(self, *words):
        return subprocess.run([PFSYNCCTL, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)

    def test_without_a_daemon_the_exit_status_is_3_and_json_says_why(self):
        leaves = self.leaves()
        self.assertGreater(len(leaves), 25)
        for path in leaves:
            if path[0] in self.ALONE:
                continue
            done = self.run_it("--json", "--socket", "/nonexistent/socket", *path, *self.NEEDED.get(" ".join(path), []))
            self.assertEqual(done.returncode, 3, f"{path}: {done.stderr}")
            answer = json.loads(done.stdout)
            self.assertIs(answer["ok"], False, path)
            self.assertIn("/nonexistent/socket", answer["error"])
            self.assertRegex(done.stderr, r"\Apfsyncctl: [^\n]+\.\n\Z", path)

    def test_wrong_usage_is_2_everywhere(self):
        for path in self.leaves():
            done = self.run_it(*path, "--no-such-option")
            self.assertEqual((done.returncode, done.stdout), (2, ""), path)
            self.assertRegex(done.stderr, r"\Apfsyncctl: [^\n]+\.\n\Z", path)
        self.assertEqual(self.run_it().returncode, 2)

    def test_an_import_that_is_refused_is_1(self):
        done = self.run_it("--json", "import", "/nonexistent/rc.conf")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/rc.conf", json.loads(done.stdout)["error"])

    def test_an_import_passes_check_config(self):
        with tempfile.TemporaryDirectory(prefix="pfsync-smoke-") as folder:
            source, made = pathlib.Path(folder) / "hostname.pfsync0", pathlib.Path(folder) / "made.toml"
            source.write_text("up syncdev em2 syncpeer 10.0.0.2 defer\n")
            done = self.run_it("import", "--device", "em2=eth1", "--address", "10.0.0.3/24", str(source))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("# - ", done.stdout)
            self.assertRegex(done.stderr, r"\Apfsyncctl: note: [^\n]*defer")
            made.write_text(done.stdout)
            checked = subprocess.run([str(tap.PFSYNCD), "--check-config", "--config", str(made)], capture_output=True, text=True)
            self.assertEqual((checked.returncode, checked.stderr), (0, ""))


class Completion(unittest.TestCase):
    def in_bash(self, *words):
        """What bash would offer for the last word."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _pfsyncctl; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "bash", str(tap.ROOT / "engine/ctl/pfsyncctl.bash"), PFSYNCCTL, *words],
                              capture_output=True, text=True, timeout=20)
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()

    def test_commands_are_those_of_the_help(self):
        for path in [(), ("show",), ("carp",), ("carp", "maintenance"), ("config",), ("user",)]:
            help_text = subprocess.run([PFSYNCCTL, *path, "--help"], capture_output=True, text=True).stdout
            listed = re.findall(r"(?m)^  ([a-z_]+) ", help_text.split("Subcommands:")[1])
            self.assertEqual(self.in_bash(*path, ""), sorted(listed), path)

    def test_a_beginning_is_completed(self):
        self.assertEqual(self.in_bash("show", "st"), ["states", "status"])
        self.assertEqual(self.in_bash("--json", "--socket", "/x", "ca"), ["carp"])
        self.assertEqual(self.in_bash("show", "status", "--d"), ["--digest"])
        self.assertEqual(self.in_bash("carp", "demote", "--js"), ["--json"])
        self.assertEqual(self.in_bash("show", "states", "p"), ["port", "proto"])

    def test_behind_a_term_of_a_filter_comes_its_value(self):
        for path in (("show", "states"), ("kill",)):
            self.assertEqual(self.in_bash(*path, ""), sorted(FILTER), path)
            self.assertEqual(self.in_bash(*path, "src", ""), ["host", "net", "port"])
            self.assertEqual(self.in_bash(*path, "proto", "ud"), ["udp"])
            for term in ("host", "net", "port", "on", "creator", "id"):
                self.assertEqual(self.in_bash(*path, term, ""), [""], term)
            self.assertEqual(self.in_bash(*path, "on", "em0", "proto", "tcp", "cr"), ["creator"])

    def test_files_are_offered_where_a_file_is_meant(self):
        with tempfile.TemporaryDirectory(prefix="pfsync-smoke-") as folder:
            file = f"{folder}/rc.conf"
            pathlib.Path(file).write_text("")
            self.assertEqual(self.in_bash("import", f"{folder}/r"), [file])
            self.assertEqual(self.in_bash("--socket", f"{folder}/r"), [file])
            self.assertEqual(self.in_bash("show", f"{folder}/r"), [""])


if __name__ == "__main__":
    sys.exit(tap.main())

"""A root of a Debian machine that has nothing but the essential packages and those that a package depends on.

Its files are copied from this machine's own packages, so that no network is needed: what a package forgot to depend on
is not there.
"""
import pathlib
import re
import shutil
import stat
import subprocess

LEFT_OUT = re.compile(r"/usr/share/(doc|man|locale|info|zoneinfo|i18n|lintian|bug)/")
MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr
MASTERS = {"passwd": "passwd.master", "group": "group.master"}  # what base-passwd makes of them at its installation


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(map(str, command))}: {' '.join((done.stdout + done.stderr).split())}")
    return done.stdout


class Packages:
    """What is installed on this machine."""

    def __init__(self):
        form = "${Package}\t${binary:Package}\t${db:Status-Status}\t${Essential}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
        self.needs, self.full, self.essential, self.providers = {}, {}, [], {}
        for line in run("dpkg-query", "-W", "-f", form).splitlines():
            name, full, status, essential, needs, provides = line.split("\t")
            if status != "installed":
                continue
            self.needs[name], self.full[name] = list(clauses(needs)), full
            if essential == "yes":
                self.essential.append(name)
            for clause in clauses(provides):
                self.providers.setdefault(clause[0], name)

    def closure(self, wanted):
        """The names of all that is needed; ValueError names what is not installed here."""
        found, todo = set(), [*self.essential, *wanted]
        while todo:
            name = todo.pop()
            name = name if name in self.needs else self.providers.get(name, name)
            if name in found:
                continue
            if name not in self.needs:
                raise ValueError(f"package {name} is not installed on this machine")
            found.add(name)
            todo += [self.first(clause) for clause in self.needs[name]]
        return sorted(found)

    def first(self, alternatives):
        return next((name for name in alternatives if name in self.needs or name in self.providers), alternatives[0])


def clauses(text):
    """Of a Depends line: a list of alternatives for each clause, without versions."""
    for clause in text.split(","):
        names = [re.sub(r"[ (:].*", "", alternative.strip()) for alternative in clause.split("|") if alternative.strip()]
        if names:
            yield names


def copy(path, root):
    """A file, a link or a folder of this machine, to the same place below root."""
    target = root / path.relative_to("/")
    if path.is_symlink():
        if not target.is_symlink() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.readlink())
    elif path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif path.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(stat.S_IMODE(path.stat().st_mode))


def make(root, wanted):
    """Fills the folder with a root that has what the packages `wanted` need."""
    packages = Packages()
    names = packages.closure(wanted)
    for name in MERGED:
        (root / f"usr/{name}").mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for path in sorted(set(run("dpkg-query", "-L", *[packages.full[name] for name in names]).splitlines())):
        if path.startswith("/") and path != "/." and path.lstrip("/") not in MERGED and not LEFT_OUT.match(path):
            copy(pathlib.Path(path), root)
    for folder, mode in {"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777, "etc": 0o755, "var/lib": 0o755}.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder).chmod(mode)
    for name, master in MASTERS.items():
        shutil.copyfile(root / "usr/share/base-passwd" / master, root / "etc" / name)
    know(root, packages, names)


def know(root, packages, names):
    """What dpkg in there knows of the packages: that they are installed, and their files."""
    here, there = pathlib.Path("/var/lib/dpkg"), root / "var/lib/dpkg"
    for folder in ("info", "updates", "triggers"):
        (there / folder).mkdir(parents=True, exist_ok=True)
    stanzas = (here / "status").read_text().split("\n\n")
    kept = [stanza for stanza in stanzas if stanza.split("\n", 1)[0].removeprefix("Package: ") in set(names)]
    (there / "status").write_text("\n\n".join(kept) + "\n\n")
    for name in names:
        for form in (name, packages.full[name]):
            if (here / f"info/{form}.list").exists():
                shutil.copyfile(here / f"info/{form}.list", there / f"info/{form}.list")

"""One pfsyncd process under our care: started, asked over its control socket, ended by its pid."""
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

LOG_LINES = 8
END_S = 5.0
PR_SET_PDEATHSIG = 1  # prctl(2)
DIGESTED = ("protocol", "direction", "wire", "stack", "src", "dst", "timeout")  # statetable/digest.cc

libc = ctypes.CDLL(None)


class Trouble(Exception):
    """One sentence for the operator; `daemon` is the one whose log may say more."""

    def __init__(self, sentence, daemon=None):
        super().__init__(sentence)
        self.daemon = daemon


class Daemon:
    """`wait(seconds)` is called wherever time passes; what it raises ends the wait."""

    def __init__(self, name, program, folder, config, wait=time.sleep, prefix=(), state_dir=None):
        folder = pathlib.Path(folder)
        self.name = name
        self.wait = wait
        self.log = folder / f"{name}.log"
        self.socket = folder / f"{name}.sock"
        self.config = folder / f"{name}.toml"
        self.config.write_text(f"{config}\n[control]\nsocket = {json.dumps(str(self.socket))}\n")
        if state_dir is not None:
            with self.config.open("a") as file:
                file.write(f"state_dir = {json.dumps(str(state_dir))}\n")
        self.command = [*prefix, str(program), "--config", str(self.config)]
        self.process = None
        self.client = None

    def start(self):
        parent = os.getpid()

        def end_with_parent():  # in the child: not even a SIGKILL of ours leaves it behind
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        with open(self.log, "ab") as log:
            try:
                # A session of its own: Ctrl-C at the terminal reaches us only, and we end it in order.
                self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                start_new_session=True, preexec_fn=end_with_parent)
            except OSError as error:
                raise Trouble(f"{self.command[0]} cannot be started ({error.strerror}): build it, or say where it is") from error

    def await_socket(self, seconds):
        until = time.monotonic() + seconds
        while not self._connect():
            self.check_alive()
            if time.monotonic() > until:
                raise Trouble(f"pfsyncd {self.name} has not opened its control socket within {seconds:.0f} seconds", self)
            self.wait(0.05)

    def check_alive(self):
        status = self.process.poll()
        if status is None:
            return
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        raise Trouble(f"pfsyncd {self.name} ended too early, {how}", self)

    def ask(self, command, patience_s=10.0, **arguments):
        """The answer to one request."""
        try:
            if self.client is None and not self._connect():
                raise ConnectionError
            self.client.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            answer = json.loads(self._line(patience_s))
        except BaseException as error:
            self._hang_up()  # or its answer would be read as that of the next request
            if not isinstance(error, (OSError, ValueError)):
                raise
            self.wait(0.2)  # it may be about to end
            self.check_alive()
            raise Trouble(f"pfsyncd {self.name} runs but does not answer on its control socket", self) from error
        if not answer.get("ok"):
            raise Trouble(f"pfsyncd {self.name} refused \"{command}\": {answer.get('error', 'it gave no reason')}", self)
        return answer

    def status(self, digest=False):
        return self.ask("show", what="status", digest=digest)

    def states(self):
        """Every state, id → its description, page by page."""
        states, cursor = {}, None
        while True:
            page = self.ask("show", what="states", cursor=cursor)
            states.update((state["id"], state) for state in page["states"])
            cursor = page["cursor"]
            if cursor is None:
                return states

    def last_words(self):
        try:
            return self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            return []

    def end(self):
        """SIGTERM, and SIGKILL to one that does not listen. Returns the exit status; None if it never ran."""
        self._hang_up()
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def _connect(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(0.2)
        try:
            client.connect(str(self.socket))
        except OSError:
            client.close()
            return False
        self.client = client
        return True

    def _line(self, patience_s):
        until = time.monotonic() + patience_s
        parts = []
        while not parts or not parts[-1].endswith(b"\n"):
            try:
                parts.append(self.client.recv(1 << 20))
            except TimeoutError:
                self.wait(0)
                if time.monotonic() > until:
                    raise
                continue
            if not parts[-1]:
                raise ConnectionResetError
        return b"".join(parts)

    def _hang_up(self):
        if self.client is not None:
            self.client.close()
            self.client = None


def compare(a, b):
    """(status of a, status of b, whether they hold the same). a's digest is read on both sides of b's: it stood still meanwhile."""
    before, status_b, status_a = a.status(digest=True), b.status(digest=True), a.status(digest=True)
    same = status_a["queued"] == 0 and before["digest"] == status_a["digest"] == status_b["digest"]
    return status_a, status_b, same


def differences(a, b):
    """In words, which states differ and how many."""
    at_a, at_b = a.states(), b.states()
    both = at_a.keys() & at_b.keys()
    kinds = {
        f"states only on {a.name}": at_a.keys() - both,
        f"states only on {b.name}": at_b.keys() - both,
        "states with other content": {id for id in both if any(at_a[id][word] != at_b[id][word] for word in DIGESTED)},
    }
    parts = [f"{len(ids):,} {what} (such as {', '.join(sorted(ids)[:3])})" for what, ids in kinds.items() if ids]
    return "; ".join(parts) or "yet every state is the same when looked at now"

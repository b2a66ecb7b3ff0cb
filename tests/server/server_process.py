"""Starts a server in a process of its own, and hears what it says."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROMPTLY_S = 30.0
_LISTENING = "0A"
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]


@contextmanager
def server(
    tmp_path: Path, model: str = "echo", drain_s: float = 20, *, is_real: bool = False
) -> Iterator["Server"]:
    paths = [_HERE.parent / "engine", _ROOT, _ROOT / "kernels", _ROOT / "assets" / "demo"]
    environment = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    process = subprocess.Popen(
        [
            sys.executable,
            str(_HERE / "serving_process.py"),
            model,
            str(drain_s),
            *["real"] * is_real,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


class Server:
    """A server and what it says."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.url = self.says()

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ends(self) -> tuple[int, str, str]:
        said, complaints = self.process.communicate(timeout=PROMPTLY_S)
        return self.process.returncode, said, complaints

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def listens_at(self) -> set[int]:
        """Return the TCP ports at which its processes listen, as Linux tells."""
        family = [str(self.process.pid)]
        for one in family:  # grows meanwhile; a thread's children are listed with the thread
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                family += children.read_text(encoding="ascii").split()
        sockets = set()
        for one in family:
            for opened in Path(f"/proc/{one}/fd").iterdir():
                with suppress(FileNotFoundError):  # closed by now
                    sockets.add(os.readlink(opened))
        ports = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                _, address, _, state, *_, inode = line.split()[:10]
                if state == _LISTENING and f"socket:[{inode}]" in sockets:
                    ports.add(int(address.rpartition(":")[2], 16))
        return ports

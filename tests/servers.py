"""Programs that tests and benchmarks start as processes of their own: object stores, and a Ray cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

#: Servers of objects, by name: what `uv run --with` installs, and the command.
SERVERS = {
    "moto": ("moto[s3,server]==5.2.5", ["moto_server", "-H", "127.0.0.1", "-p", "{port}"]),
    "localbucket": ("localbucket==1.2.1", ["localbucket", "--port", "{port}", "{data}"]),
}

#: Tasks of 25,000 rows, the smallest there are.
SMALL = ("--memory", "250MB")


class Running:
    """A server in a process of its own, which can be killed and started again."""

    def __init__(self, name: str, folder: Path) -> None:
        uv = shutil.which("uv")
        if uv is None:
            pytest.skip("no uv to run a server with")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        package, words = SERVERS[name]
        self.data = folder / "data"
        (self.data / "bucket").mkdir(parents=True)
        own = [word.format(port=self.port, data=self.data) for word in words]
        self._command = [uv, "run", "--no-project", "--with", package, *own]
        self.start()

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._process = subprocess.Popen(
            self._command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None:
                pytest.skip(f"the server does not start: {' '.join(self._command)}")
            time.sleep(0.2)
        raise AssertionError("the server did not answer in two minutes")

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Cluster:
    """A head without cores, and two nodes of `cores` each. `more` is what their environment has, too."""

    def __init__(self, folder: Path, cores: int = 1, more: Mapping[str, str] | None = None) -> None:
        self.folder, self.cores, self.nodes = folder, cores, list[subprocess.Popen[bytes]]()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        # Without compiled files, each worker compiles for seconds what it imports.
        usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environment = usual | {
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "HOME": str(folder),
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, **(more or {}),
        }  # fmt: skip
        try:
            self.start("--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false",
                       f"--temp-dir={folder}/r")  # fmt: skip
            self.add_node()
            self.add_node()
        except BaseException:
            self.stop()
            raise

    def start(self, *words: str) -> None:
        """Start a node, and wait until it works. Ray gives one up that takes 30 s, so it is started again."""
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *words]
        log = self.folder / f"node{len(self.nodes)}.log"
        for _ in range(5):
            with log.open("wb") as file:
                node = subprocess.Popen(command, env=self.environment, stdout=file, stderr=file, start_new_session=True)
            wait_until(lambda node=node: node.poll() is not None or b"Ray runtime started" in log.read_bytes())
            if node.poll() is None:
                self.nodes.append(node)
                return
        raise AssertionError(log.read_text(encoding="utf-8")[-1_000:])

    def add_node(self) -> None:
        self.start(f"--address={self.address}", f"--num-cpus={self.cores}")

    def kill_node(self, number: int) -> None:
        os.killpg(self.nodes[number].pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The processes that run a task now."""
        found = subprocess.run(["pgrep", "-f", "ray::run_task"], capture_output=True, text=True, check=False)
        return [int(word) for word in found.stdout.split()]

    def stop(self) -> None:
        for node in reversed(self.nodes):
            with suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()

    def driver(self, *words: str, ray: bool = True) -> subprocess.Popen[bytes]:
        where = ("--engine", "ray", "--address", self.address, *SMALL) if ray else ()
        command = [sys.executable, "-m", "shp_miner", *words, *where, "--json"]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, start_new_session=True)

    def done(self, *words: str, ray: bool = True) -> dict[str, object]:
        """Run a command to its end; return what it printed."""
        driver = self.driver(*words, ray=ray)
        said = driver.communicate(timeout=500)[0]
        assert driver.returncode == 0, said
        return dict(json.loads(said))


def wait_until(holds: Callable[[], bool], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}

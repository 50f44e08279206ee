"""What runs beside the commands and can fail: an MLflow server, storage, Ray clusters, a disk."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from faults_parts.bench import MARK, Bench
from faults_parts.commands import REPOSITORY

sys.path.append(str(REPOSITORY / "tests"))  # whose servers these are

_DISK_MEGABYTES, _FREE_SECONDS = 48, 10.0


class Server:
    """What several benches share, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def connect(self, bench: Bench) -> None:
        """Have a bench's commands use it, in a state as if nothing had happened to it."""

    def again(self, bench: Bench) -> None:
        """Have a further command of a bench use it."""

    def settle(self) -> None:
        """End what is there for one bench alone."""

    def close(self) -> None:
        """End it."""


class Mlflow(Server):
    """An MLflow server."""

    def __init__(self, folder: Path) -> None:
        from support.mlflow_server import free_port

        super().__init__(folder)
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self.start()

    def connect(self, bench: Bench) -> None:
        bench.server, bench.tracking = self, f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        from support.mlflow_server import server

        self._process = self._stack.enter_context(server(self.folder, self.port))

    def kill(self) -> None:
        """End it at once."""
        self._stack.close()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def refuse(self, is_over: Callable[[], bool]) -> None:
        """Have something in its place answer everything with 500, until `is_over`."""
        self.kill()

        class Refuses(BaseHTTPRequestHandler):
            def _refuse(self) -> None:
                self.send_error(500)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _refuse  # noqa: N815

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        stand_in = self._in_place(Refuses)
        threading.Thread(target=stand_in.serve_forever, daemon=True).start()
        is_over()
        stand_in.shutdown()
        stand_in.server_close()
        self.start()

    def _in_place(self, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        """Something that listens where the server did, whose killed processes may still be about to let go of that."""
        end = time.monotonic() + _FREE_SECONDS
        while True:
            try:
                return ThreadingHTTPServer(("127.0.0.1", self.port), handler)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        self.kill()


class Storage(Server):
    """An S3 server; each bench has results of its own there."""

    def __init__(self, folder: Path) -> None:
        from support.keys import ENVIRONMENT
        from support.s3_server import S3Server

        super().__init__(folder)
        os.environ.update(ENVIRONMENT)
        self.s3 = S3Server(folder)
        self.s3.start()

    def connect(self, bench: Bench) -> None:
        bench.server, bench.address = self, self.s3.uri(bench.folder.name.replace(" ", "-"))

    def bring(self, bench: Bench, to: Path) -> None:
        """Bring what is in the bucket here."""
        prefix = bench.folder.name.replace(" ", "-")
        for name in self.s3.names(prefix):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            with self.s3.files().open_input_stream(f"lab/{prefix}/{name}") as stream:
                (to / name).write_bytes(stream.read())

    def close(self) -> None:
        self.s3.kill()


class RayCluster(Server):
    """A Ray cluster that commands join.

    Args:
        folder: unused.
        cpus: of the head and of each further node.
        dashboard: whether it has one, as clusters usually do; Ray Train asks it after a group that ended in disorder.
    """

    def __init__(self, folder: Path, *cpus: int, dashboard: bool = False) -> None:
        super().__init__(folder)
        self._dashboard = dashboard
        self.cpus = cpus
        self._cluster: Any = None
        self._nodes: list[Any] = []
        self._leaving: list[tuple[float, Any]] = []  # with the time from which on they are gone
        self.mark = ""

    def connect(self, bench: Bench) -> None:
        if self._cluster is None:
            self._start()
        while len(self._nodes) < len(self.cpus) - 1:
            self._add(self.cpus[-1])
        bench.server, bench.environment["RAY_ADDRESS"] = self, self._cluster.address

    def again(self, bench: Bench) -> None:
        self.connect(bench)

    def _start(self) -> None:
        from ray.cluster_utils import Cluster
        from support.mlflow_server import free_port

        self.mark = os.environ[MARK] = uuid.uuid4().hex
        head = {"num_cpus": self.cpus[0], "include_dashboard": self._dashboard, "dashboard_port": free_port()}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)

    def _add(self, cpus: int) -> None:
        os.environ[MARK] = self.mark
        self._nodes.append(self._cluster.add_node(num_cpus=cpus))

    def lose_node_of(self, pid: int) -> None:
        """Kill all processes of the node that a worker is on."""
        self._cluster.remove_node(node := self._node_of(pid), allow_graceful=False)
        self._nodes.remove(node)

    def drain_node_of(self, pid: int, seconds: float) -> None:
        """Tell Ray that the node that a worker is on goes away in some seconds, as clouds do; it does."""
        from ray._raylet import GcsClient  # type: ignore[attr-defined]
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]

        node = self._node_of(pid)
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline = int(1000 * (time.time() + seconds))
        drain = GcsClient(address=self._cluster.address).drain_node
        accepted, why = drain(node.node_id, reason, "preemption", deadline)
        if not accepted:
            raise RuntimeError(why)
        self._nodes.remove(node)
        self._leaving.append((deadline / 1000, node))

    def settle(self) -> None:
        """See that nodes that were to go are gone."""
        for deadline, node in self._leaving:
            time.sleep(max(deadline - time.time(), 0.0))
            self._cluster.remove_node(node, allow_graceful=False)
        self._leaving.clear()

    def _node_of(self, pid: int) -> Any:
        raylet = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        (node,) = (
            node
            for node in self._nodes
            if raylet in [each.process.pid for each in node.all_processes.get("raylet", [])]
        )
        return node

    def lose_head(self) -> None:
        """Kill all processes of the head, which is all there is; another is started for whoever connects next."""
        self._cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        self._cluster = None

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.shutdown()
            self._cluster = None


class Disk(Server):
    """A small disk in memory for each bench's results, which only root can mount."""

    def connect(self, bench: Bench) -> None:
        bench.server = self
        self._path = bench.results
        self._path.mkdir(parents=True, exist_ok=True)
        size = f"size={_DISK_MEGABYTES}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "faults", str(self._path)], check=True)

    def fill(self) -> None:
        """Leave no room on it."""
        with (self._path / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Take away what fills it."""
        (self._path / "ballast").unlink()

    def settle(self) -> None:
        subprocess.run(["umount", "--lazy", str(self._path)], check=True)


SERVERS: dict[str, Callable[[Path], Server]] = {
    "none": Server,
    "mlflow": Mlflow,
    "storage": Storage,
    "disk": Disk,
    "one cpu": lambda folder: RayCluster(folder, 1),
    "two cpus": lambda folder: RayCluster(folder, 2, dashboard=True),
    "two nodes": lambda folder: RayCluster(folder, 0, 1, 1),
}

"""A real S3 server on this machine, SeaweedFS: what it has is on the disk, so it can be killed and started again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import fs

from support.keys import KEY, SECRET

BUCKET = "lab"
_IDENTITIES = [
    {"name": KEY, "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write"]}
]
_START_SECONDS = 120.0


@dataclass
class S3Server:
    """The server; its data stay in `folder` while it is not there."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def uri(self, path: str = "", bucket: str = BUCKET) -> str:
        """An address in a bucket."""
        return f"s3://{bucket}/{path}?endpoint_override=127.0.0.1:{self.ports['s3']}&scheme=http&region=us-east-1"

    def files(self) -> fs.FileSystem:
        """Its buckets as a file system, with the keys that let in."""
        return fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            endpoint_override=f"127.0.0.1:{self.ports['s3']}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )

    def names(self, path: str = "") -> set[str]:
        """The files below a path in its bucket."""
        prefix = f"{BUCKET}/{path}".rstrip("/")
        found = self.files().get_file_info(fs.FileSelector(prefix, recursive=True, allow_not_found=True))
        return {info.path[len(prefix) + 1 :] for info in found if info.is_file}

    def read(self, path: str) -> str:
        """A file of its bucket."""
        with self.files().open_input_stream(f"{BUCKET}/{path}") as stream:
            return bytes(stream.read()).decode()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = self.folder / "identity.json"
        identity.write_text(json.dumps({"identities": _IDENTITIES}))
        names = ("s3", "s3.grpc", "master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc")
        self.ports = self.ports or dict(zip(names, _free_ports(len(names)), strict=True))
        options = [f"-{name if '.' in name else f'{name}.port'}={port}" for name, port in self.ports.items()]
        options = [option.replace(".grpc=", ".port.grpc=") for option in options]
        self.process = subprocess.Popen(
            [
                *(str(Path(sys.executable).with_name("weed")), "server", f"-dir={self.folder}"),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-volume.max=60"),
                *("-filer", "-s3", f"-s3.config={identity}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
                *("-master.electionTimeout=1s", "-master.heartbeatInterval=100ms", "-master.resumeState=false"),
                *("-master.volumeSizeLimitMB=64", f"-filer.localSocket={self.folder / 'f'}"),
                *(f"-s3.localSocket={self.folder / 's'}", *options),
            ],
            stdout=(self.folder / "log.txt").open("ab"),
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            start_new_session=True,
        )
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            with suppress(OSError):
                socket.create_connection(
                    ("127.0.0.1", self.ports["s3"]), timeout=1
                ).close()  # PyArrow tries for seconds.
                files = self.files()
                files.create_dir(BUCKET)
                with files.open_output_stream(f"{BUCKET}/.ready") as stream:
                    stream.write(b"1")
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log.txt").read_text()[-2000:])

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self, *, frozen: bool) -> None:
        """Have it answer nobody, without a closed connection; or go on."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports

"""Files that are made once."""

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from curriculum_search.evaluation.cache import digest, download_once, file_sha256, once, once_whole


@dataclass
class Server:
    """Where six bytes can be had, and how often they were asked for."""

    address: str = ""
    requests: int = 0


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on this machine that serves the six bytes ``weight`` under every address."""
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"weight")

        def log_message(self, *_: object) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{http.server_port}/weights.pth"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield found
    http.shutdown()
    thread.join()
    http.server_close()


def test_a_download_happens_once_and_is_checked(server: Server, tmp_path: Path) -> None:
    checksum = "9c693dc8f0e1f9e2d2a7a2ff4a1ef95bd25dc1fb60df4ecf2d8b7f0ad4ec4cd1"
    with pytest.raises(ValueError, match=f"has SHA-256 .*, not {checksum}; name the file"):
        download_once(server.address, checksum, tmp_path, "name the file")
    assert not (tmp_path / "weights.pth").exists()
    right = hashlib.sha256(b"weight").hexdigest()
    for _ in range(2):
        assert download_once(server.address, right, tmp_path, "name the file").read_bytes() == b"weight"
    assert server.requests == 2


def test_those_who_want_the_same_file_at_once_make_it_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(target: Path) -> None:
        made.append(target)
        time.sleep(0.1)
        target.write_text("made")

    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: once(tmp_path / "file", make), range(4)))
    assert len(made) == 1
    assert [path.read_text() for path in paths] == ["made"] * 4


def test_a_maker_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        target.write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        once(tmp_path / "file", fail)
    assert not (tmp_path / "file").exists()


def test_a_digest_names_its_parts_in_order_and_their_fields_in_any() -> None:
    assert digest("a", 1, {"x": 1, "y": 2}) == digest("a", 1, {"y": 2, "x": 1})
    assert len({digest("a", 1), digest(1, "a"), digest("a", "1"), digest("a", 2), digest("a1")}) == 5
    assert len(digest()) == 16


def test_the_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weight")
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"weight").hexdigest()


def test_a_file_that_is_damaged_is_made_anew_with_a_warning_and_a_whole_one_is_kept(tmp_path: Path) -> None:
    path, made = tmp_path / "folder" / "numbers.npz", 0

    def make(target: Path) -> None:
        nonlocal made
        made += 1
        with target.open("wb") as file:
            np.savez(file, numbers=np.arange(100))

    def read(target: Path) -> int:
        with np.load(target) as file:
            return int(file["numbers"].sum())

    assert [once_whole(path, make, read) for _ in range(2)] == [4950, 4950]
    assert made == 1
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (bytes(content), bytes(content[:200]), b""):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"numbers\.npz is damaged, and is made anew"):
            assert once_whole(path, make, read) == 4950
    assert made == 4

"""Reading image files for training: images a second and memory of each process, beside torch's DataLoader.

    .venv/bin/python benchmarks/data.py [--images 40000] [--side 64] [--processes 4] [--threads 2]

PNGs lie in an uncompressed zip, as EDM's dataset_tool writes it.  Several processes, as the workers of one run or
trials that share a node, read all of it in one shuffled order, each its share of every batch: twice with ours, where
the second time everything has been decoded by one process or another, and once with a DataLoader that decodes the same
files in as many processes as ours has threads.  Memory is a process's own in the end, that of those it has started
included, less what it was after the imports: so the list of the files counts, ours and that of the DataLoader's set,
and the order of an epoch, and whatever decoding needs; pages of a mapped file do not, for all share them.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from curriculum_search.data import DataOrder, ImageSet, Prefetcher, Zip, rank_slice
from curriculum_search.data.images import Bytes

BATCH = 256
CPU = torch.device("cpu")


def main() -> None:
    """Measure, and print a table; or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40_000)
    parser.add_argument("--side", type=int, default=64, help="of an image, in pixels")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2, help="that decode, in each process")
    parser.add_argument("--read", nargs=3, metavar=("WHAT", "FOLDER", "RANK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        what, folder, rank = arguments.read
        read(what, Path(folder), int(rank), arguments.processes, arguments.threads)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "set.zip", arguments.images, arguments.side)
        decoded = arguments.images * 3 * arguments.side**2 / 2**20
        print(
            f"{arguments.images:,} images of {arguments.side}x{arguments.side}, {decoded:,.0f} MiB decoded; "
            f"{arguments.processes} processes"
        )
        print(f"{'':<34}{'images/s, all':>15}{'own MiB, each':>15}")
        for title, what in (
            ("ours, first time", "ours"),
            ("ours, from what is decoded", "ours"),
            ("DataLoader", "loader"),
        ):
            rate, memory = run(what, folder, arguments)
            print(f"{title:<34}{rate:>15,.0f}{memory:>15,.0f}", flush=True)


def run(what: str, folder: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Images a second of all processes together, and MiB of the one that has most."""
    shared = ["--images", arguments.images, "--processes", arguments.processes, "--threads", arguments.threads]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, *map(str, shared), "--read", what, str(folder), str(rank)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(arguments.processes)
    ]
    for process in processes:  # All have listed the files.
        assert process.stdout is not None
        process.stdout.readline()
    started = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    memory = []
    for process in processes:
        assert process.stdout is not None
        memory.append(float(process.stdout.readline()))
    seconds = time.perf_counter() - started
    for process in processes:
        process.communicate("done\n")
    return arguments.images // BATCH * BATCH / seconds, max(memory)


def read(what: str, folder: Path, rank: int, processes: int, threads: int) -> None:
    """Read this process's share of an epoch."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    path, before = folder / "set.zip", own_bytes()
    listed = Zip(path=str(path), decoded_path=str(folder / "decoded")).load() if what == "ours" else Files(path)
    order, own = DataOrder(len(listed), 0), rank_slice(BATCH, rank, processes)
    steps = len(listed) // BATCH
    after = 0
    if isinstance(listed, ImageSet):
        wait()
        with Prefetcher(listed, order, 0, BATCH, own, CPU) as prefetcher:
            for _ in range(steps):
                next(prefetcher)
            after = own_bytes()
    else:
        batches = [order.indices(step * BATCH, BATCH)[own].tolist() for step in range(steps)]
        wait()
        for step, _ in enumerate(DataLoader(listed, batch_sampler=batches, num_workers=threads, prefetch_factor=2)):
            after = own_bytes() if step == steps - 1 else after
    print((after - before) / 2**20, flush=True)
    sys.stdin.readline()


def wait() -> None:
    """Until all processes are as far as this one."""
    print("ready", flush=True)
    sys.stdin.readline()


class Files(Dataset[torch.Tensor]):
    """The images of a zip, decoded whenever they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | None = None
        with zipfile.ZipFile(path) as archive:
            self._names = sorted(name for name in archive.namelist() if name.endswith(".png"))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> torch.Tensor:
        self._archive = self._archive or zipfile.ZipFile(self._path)  # a process's own
        with self._archive.open(self._names[index]) as stream:
            return torch.from_numpy(np.asarray(Image.open(io.BytesIO(stream.read()))).transpose(2, 0, 1).copy())


def own_bytes() -> int:
    """What this process and its children hold that is no page of a file; what several hold, each in part."""
    pids = [os.getpid(), *children(os.getpid())]
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon", "Pss_Shmem")):
                total += 1024 * int(line.split()[1])
    return total


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


def write(path: Path, count: int, side: int) -> None:
    """Smooth random pictures, as PNG: 4,000 different ones, again and again."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(min(count, 4000)):
        stream = io.BytesIO()
        Image.fromarray(picture(random, side)).save(stream, format="png")
        pictures.append(stream.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number // 1000:05d}/img{number:08d}.png", pictures[number % len(pictures)])
        archive.writestr("dataset.json", json.dumps({"labels": None}))


def picture(random: np.random.Generator, side: int) -> Bytes:
    """uint8 [side, side, 3], of large spots."""
    small = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    main()

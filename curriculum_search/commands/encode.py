"""Images encoded once, in parts that Ray's workers write: what jobs/encode.py does."""

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import RayError, RayTaskError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from curriculum_search.atomic import is_disk_full, replacing
from curriculum_search.conditions import Captions
from curriculum_search.data import PROVENANCE, open_tensors, write_captions, write_tensors
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, define_plugins, validated
from curriculum_search.models.encoders import VAE
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.job import one_line
from curriculum_search.training import default_device

_LINE_SECONDS = 15.0  # between two lines of a log
_TOLD_SECONDS = 1.0  # between two words of a worker about how far it is


def encode_images(
    experiment: Experiment, plugins: Mapping[str, str], *, where: str, folder: Path, flip: bool, part_images: int
) -> None:
    """Encode the images of an experiment, or go on with it.

    Args:
        experiment: its data are encoded by its encoder, with the processors of its resources for each worker.
        plugins: file name to source text of the user's own kinds.
        where: the experiment's file, for messages.
        folder: of the parts.
        flip: encode the mirrored images too.
        part_images: images of one part.

    Raises:
        UserError: what has to be changed before anything can start.
    """
    if part_images < 1:
        raise UserError(f"--part must be at least 1, not {part_images}")
    words = _provenance(experiment, where, flip=flip, part_images=part_images)
    conditions = experiment.data.load().conditions
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be made ({error.strerror})") from error
    count, parts = words["images"], words["parts"]
    missing = [part for part in range(parts) if not _is_there(_path(folder, part, parts), words, experiment)]
    print(f"encode: {experiment.data.summary()}; {parts - len(missing)} of {parts} parts are there", flush=True)
    if missing:
        with Cluster(dashboard=False) as cluster:
            limit = cluster.capacity(dataclasses.replace(experiment.resources, workers=1)).trials
            _run(experiment, plugins, folder, words, missing, limit)
    if isinstance(conditions, Captions):
        write_captions(folder, conditions)
    _tell(folder, count, kind="captioned_latents" if isinstance(conditions, Captions) else "latents")


def _provenance(experiment: Experiment, where: str, *, flip: bool, part_images: int) -> dict[str, Any]:
    """How the latents are to come about; it is in the header of every part."""
    encoder = experiment.encoder
    if not isinstance(encoder, VAE):
        raise UserError(f"{where}: encoder must be of kind vae to encode images, as {{kind: vae, path: sd-vae-ft-ema}}")
    try:
        experiment.data.check()
        images = experiment.data.load()
        if images.encoded:
            raise ValueError(f"data must be images, and {images.name} has latents already")
        encoder.check(images)
        autoencoder = encoder.checksum()
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"{where}: {error}") from error
    return {
        "layout": "mean_std",
        "source": _absolute(experiment.data.to_dict()),
        "fingerprint": images.fingerprint,
        "autoencoder": autoencoder,
        "encoder": {"path": encoder.path, "lowest_pixel": encoder.lowest_pixel},
        "flip": flip,
        "images": len(images),
        "part_images": part_images,
        "parts": -(-len(images) // part_images),
    }


def _absolute(source: dict[str, Any]) -> dict[str, Any]:
    """A data source's fields with paths that do not start at the current folder."""

    def resolved(name: str, value: Any) -> Any:
        return str(Path(value).expanduser().absolute()) if name.endswith("path") and value is not None else value

    return {name: resolved(name, value) for name, value in source.items()}


def _path(folder: Path, part: int, parts: int) -> Path:
    return folder / f"latents-{part:05d}-of-{parts:05d}.safetensors"


def _is_there(path: Path, words: Mapping[str, Any], experiment: Experiment) -> bool:
    """Whether a part has been written; what is damaged has not.

    Raises:
        UserError: there is one of something else.
    """
    others = [other for other in path.parent.glob("*.safetensors") if not other.name.endswith(path.name[-17:])]
    if others:
        raise UserError(f"{others[0]} lies there already and is not of these parts; give another folder, or remove it")
    if not path.exists():
        return False
    try:
        known = json.loads(open_tensors(path).metadata[PROVENANCE])
    except (ValueError, KeyError):
        return False
    known["source"] = experiment.data.with_added(known.get("source"))  # a part that an earlier version has written
    if differing := sorted(name for name in words if known.get(name) != words[name]):
        raise UserError(
            f"{path} was encoded with another {', '.join(differing)}; give another folder, or empty this one"
        )
    return True


def _run(
    experiment: Experiment,
    plugins: Mapping[str, str],
    folder: Path,
    words: Mapping[str, Any],
    missing: list[int],
    limit: int,
) -> None:
    """Have Ray's workers write what is missing, `limit` parts at a time."""
    resources = experiment.resources
    task = ray.remote(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker, num_returns="streaming")(
        _encode_part
    )
    job = {"experiment": experiment.to_dict(), "plugins": dict(plugins), "working_dir": Path.cwd(), "words": words}
    left = sum(len(_rows(part, words)) for part in missing)
    running: dict[Any, int] = {}
    waiting = list(missing)
    with _Bar(words["images"], words["images"] - left) as bar:
        while waiting or running:
            while waiting and len(running) < limit:
                part = waiting.pop(0)
                running[task.remote(job, part, _path(folder, part, words["parts"]))] = part
            told, _ = ray.wait(list(running), timeout=1.0)
            for generator in told:
                if (count := _told(generator, _path(folder, running[generator], words["parts"]))) is None:
                    running.pop(generator)
                else:
                    bar.advance(count)
            bar.tick()


def _told(generator: Any, path: Path) -> int | None:
    """How many images more of a part are encoded; None: it has been written.

    Raises:
        UserError: it cannot be written, for a reason that is not the program's.
    """
    try:
        return int(ray.get(next(generator)))
    except StopIteration:
        return None
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else error
        if not isinstance(cause, ValueError | FileNotFoundError | RayError) and not is_disk_full(cause):
            raise
        raise UserError(f"{path.name}: {one_line(cause)}; the same command goes on from the parts there are") from error


def _rows(part: int, words: Mapping[str, Any]) -> range:
    size = words["part_images"]
    return range(part * size, min((part + 1) * size, words["images"]))


def _encode_part(job: Mapping[str, Any], part: int, path: Path) -> Iterator[int]:
    """Encode one part; runs in a worker of Ray, which may have encoded others before.

    Yields how many images more are encoded, about once a second.
    """
    if job["working_dir"].is_dir():  # Ray starts a worker elsewhere.
        os.chdir(job["working_dir"])
    define_plugins(job["plugins"])
    experiment = validated(Experiment, job["experiment"], "experiment")
    words = job["words"]
    torch.set_num_threads(experiment.resources.cpus_per_worker)
    images, device = experiment.data.load(), default_device()
    assert isinstance(experiment.encoder, VAE)
    codec = experiment.encoder.load(device)
    rows = _rows(part, words)
    step = experiment.encoder.batch_size
    moments, twins = list[NDArray[Any]](), list[NDArray[Any]]()
    told, said = rows.start, time.monotonic()
    for start in range(rows.start, rows.stop, step):
        stored = images.stored(np.arange(start, min(start + step, rows.stop))).to(device)
        moments.append(codec.posterior(stored).flatten(1, 2).cpu().numpy())
        if words["flip"]:
            twins.append(codec.posterior(stored.flip(-1)).flatten(1, 2).cpu().numpy())
        if time.monotonic() - said >= _TOLD_SECONDS:
            yield start + len(stored) - told
            told, said = start + len(stored), time.monotonic()
    arrays = {"latents": np.concatenate(moments)}
    if twins:
        arrays["latents_flip"] = np.concatenate(twins)
    if images.labels is not None:
        arrays["labels"] = images.labels[rows.start : rows.stop]
    text = json.dumps({**words, "part": part, "statistics": _statistics(arrays["latents"])})
    with replacing(path, sum(array.nbytes for array in arrays.values())) as partial:
        write_tensors(partial, arrays, {PROVENANCE: text})
    yield rows.stop - told


def _statistics(moments: NDArray[Any]) -> dict[str, Any]:
    """Number of latents, and the mean of each channel and of its square, float64, over images and places."""
    mean, deviation = np.split(moments.astype(np.float64), 2, axis=1)
    return {
        "count": len(moments),
        "mean": mean.mean((0, 2, 3)).tolist(),
        "square": (mean**2 + deviation**2).mean((0, 2, 3)).tolist(),
    }


def _tell(folder: Path, count: int, *, kind: str) -> None:
    """What there is now, and the lines that use it."""
    texts = [json.loads(open_tensors(path).metadata[PROVENANCE]) for path in sorted(folder.glob("*.safetensors"))]
    weights = np.array([text["statistics"]["count"] for text in texts], np.float64) / count
    mean, square = (weights @ np.array([text["statistics"][name] for text in texts]) for name in ("mean", "square"))
    deviation = np.sqrt(square - mean**2)

    def listed(values: NDArray[Any]) -> str:
        return ", ".join(f"{value:.4g}" for value in values)

    print(f"{count:,} images are encoded in {folder}")
    print(f"Mean by channel:      {listed(mean)}\nDeviation by channel: {listed(deviation)}")
    print(
        f"Use them with:        data: {{kind: {kind}, path: {folder}}}\n"
        f"To bring each channel to mean 0 and deviation 1:\n"
        f"                      encoder.shift: [{listed(mean)}]\n"
        f"                      encoder.scale: [{listed(1 / deviation)}]",
        flush=True,
    )


class _Bar:
    """A bar on a terminal, and a line every so often in a log."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._done, self._before = total, done, done
        self._began = self._said = time.monotonic()
        console = Console()
        self._log = not console.is_terminal
        columns = (TextColumn("encode"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=self._log)
        self._task = self._progress.add_task("encode", total=total, completed=done)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def advance(self, count: int) -> None:
        """So many images more are encoded."""
        self._done += count
        self._progress.advance(self._task, count)

    def tick(self) -> None:
        """Print a line in a log, if the last is long enough ago."""
        now = time.monotonic()
        if not self._log or now - self._said < _LINE_SECONDS:
            return
        self._said = now
        rate = (self._done - self._before) / (now - self._began)
        left = f", about {(self._total - self._done) / rate / 60:.0f} min left" if rate else ""
        print(f"encode: {self._done:,} of {self._total:,} images, {rate:.0f} a second{left}", flush=True)

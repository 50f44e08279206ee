"""What is in a bucket, brought here to be read, whoever may be at work there."""

import hashlib
from pathlib import Path

from curriculum_search.atomic import write_whole
from curriculum_search.loading import UserError
from curriculum_search.storage.mirror import Copied
from curriculum_search.storage.remote import Remote, Version, download_all, why
from curriculum_search.storage.working_copy import ORIGIN, origin

_COPIED = ".copied.json"
#: What may belong to a file that is read: plug-ins beside an experiment, the config beside a checkpoint.
_BESIDE = (".yaml", ".yml", ".json", ".py")


def fetched(given: Path | str, cache_dir: Path, *, setting: str = "command line") -> Path:
    """Something here that is what is at an address now: a file with what belongs to it, or a folder without the
    checkpoints of the runs below it.

    Args:
        given: an address; of anything else, a path, nothing is fetched.
        cache_dir: the folder for what can be had again.
        setting: what messages call the address.

    Raises:
        UserError: nothing is there, or the storage does not answer.
    """
    if isinstance(given, Path):
        return given
    remote = Remote.of(given, setting=setting)
    remote.check(setting=setting)
    try:
        if remote.version() is not None:
            found = remote.parent.versions(recursive=False)
            wanted = {n: v for n, v in found.items() if n == remote.name or n.endswith(_BESIDE)}
            return _brought(remote.parent, wanted, cache_dir) / remote.name
        wanted = {n: v for n, v in remote.versions().items() if "/" not in n or not n.endswith(".pt")}
        if not wanted:
            raise UserError(f"{setting}: {remote}: there is nothing there")
        return _brought(remote, wanted, cache_dir)
    except OSError as error:
        raise UserError(f"{setting}: {remote}: {why(error)}") from error


def as_it_stands(path: Path, cache_dir: Path) -> Path:
    """A folder to read for one in a working copy, as it is in the bucket, if it is there; else the folder itself."""
    remote = origin(path)
    try:
        if remote is None or not remote.versions(recursive=False):
            return path
        return fetched(remote.address, cache_dir)
    except OSError as error:
        raise UserError(f"{remote}: {why(error)}") from error


def folders(path: Path) -> list[Path]:
    """The folders in a folder; of one in a working copy, those that the bucket has."""
    remote = origin(path)
    if remote is None:
        return sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
    try:
        return [path / name for name in remote.folders()]
    except OSError as error:
        raise UserError(f"{remote}: {why(error)}") from error


def sent(path: Path) -> str:
    """Put a file that was written into a copy of what is in a bucket there too; where it is, as the user is told."""
    remote = origin(path)
    if remote is None:
        return str(path)
    try:
        with path.open("rb") as file:
            remote.upload(file)
    except OSError as error:
        raise UserError(f"{remote}: cannot be written: {why(error)}; the file is {path}") from error
    return remote.address


def _brought(remote: Remote, wanted: dict[str, Version], cache_dir: Path) -> Path:
    """A folder here with those files of a folder there, and no others."""
    mark = hashlib.sha256(remote.address.encode()).hexdigest()[:12]
    folder = cache_dir / "reading" / mark / remote.name
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / ORIGIN, remote.address)
    copied = Copied.read(folder / _COPIED)
    wanted = {name: v for name, v in wanted.items() if not any(part.startswith(".") for part in name.split("/"))}
    for name in copied.there.keys() - wanted.keys():
        (folder / name).unlink(missing_ok=True)
    known, copied.there = copied.there, {}
    changed = {n: v for n, v in wanted.items() if known.get(n) != v or not (folder / n).exists()}
    copied.write()  # without what is being changed, should this be the end
    download_all({folder / name: remote / name for name in changed})
    copied.there = {name: version for name, version in wanted.items() if (folder / name).exists()}
    copied.write()
    return folder

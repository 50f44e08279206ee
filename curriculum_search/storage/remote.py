"""A folder in a bucket, on PyArrow's file systems: S3, Google Cloud Storage, HDFS, Azure."""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self
from urllib.parse import quote, unquote

from curriculum_search.atomic import replacing
from curriculum_search.loading import UserError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_SCHEMES = {
    "s3": "s3://bucket/path",
    "gs": "gs://bucket/path",
    "gcs": "gs://bucket/path",
    "hdfs": "hdfs://host:port/path",
    "viewfs": "viewfs://host/path",
    "abfs": "abfs://container@account.dfs.core.windows.net/path",
    "abfss": "abfss://container@account.dfs.core.windows.net/path",
}
_WITH_BUCKETS = ("s3", "gs", "gcs")
_DOWNLOADS = 16  # at once
_CHUNK_BYTES = 2**22

#: What tells one version of a file in a bucket from another: its size in bytes, and when it was written, in ns.
Version = tuple[int, int]


def is_address(text: str) -> bool:
    """Whether a text is the address of something in a bucket, and not a path."""
    return re.match(r"\w+://", text) is not None


@dataclass(frozen=True)
class Remote:
    """A file or folder in a bucket, there already or not.

    Attributes:
        storage: scheme and bucket or host, as in ``s3://bucket``.
        path: in it.
        options: of PyArrow, as in ``region=eu-west-1&scheme=https``.
    """

    storage: str
    path: str
    options: str

    @classmethod
    def of(cls, address: str, *, setting: str = "--results") -> Self:
        """What is at an address, which may end in a query, ``?name=value&...``, with options of PyArrow.

        Args:
            address: of it.
            setting: what messages call it.

        Raises:
            UserError: nothing can be at such an address.
        """
        base, _, options = address.partition("?")
        scheme, _, rest = base.partition("://")
        host, _, path = rest.partition("/")
        if scheme not in _SCHEMES:
            raise UserError(
                f"{setting}: {address} is no address of a storage that is known: allowed are a folder, "
                f"{', '.join(sorted(set(_SCHEMES.values())))}"
            )
        if "@" in host and scheme in _WITH_BUCKETS:
            raise UserError(
                f"{setting}: an address with a key in it would be written to logs; leave it out, and set "
                f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what your storage has in their place"
            )
        remote = cls(f"{scheme}://{host}", unquote(path).strip("/"), options)
        if not host or not remote.path:
            raise UserError(f"{setting}: {address} has no path: it is to be like {_SCHEMES[scheme]}")
        try:
            _open(remote.storage, options)
        except ImportError as error:
            raise UserError(f"{setting}: {address} needs PyArrow: pip install pyarrow ({error})") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{setting}: {address} cannot be used: {_first_line(error)}") from error
        return remote

    def check(self, *, setting: str) -> None:
        """Find out whether the bucket is there and can be read.

        Raises:
            UserError: it does not answer, lets nobody in, or is not there.
        """
        files, path = self._opened
        try:
            found = files.get_file_info(self._selector(recursive=False))
            if not found and self.storage.partition(":")[0] in _WITH_BUCKETS:
                from pyarrow.fs import FileType

                bucket = path.partition("/")[0]
                if files.get_file_info(bucket).type == FileType.NotFound:
                    raise UserError(f"{setting}: {self}: there is no bucket {bucket}; make it, or name another")
        except OSError as error:
            raise UserError(f"{setting}: {self}: {why(error)}") from error

    def __str__(self) -> str:
        """The address without its options."""
        return f"{self.storage}/{self.path}"

    @property
    def address(self) -> str:
        """What `of` was given, or would be."""
        return f"{self.storage}/{quote(self.path)}" + (f"?{self.options}" if self.options else "")

    def __truediv__(self, name: str) -> "Remote":
        """What is below it."""
        return replace(self, path=f"{self.path}/{name}")

    @property
    def parent(self) -> "Remote":
        """The folder that it is in."""
        return replace(self, path=self.path.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    # What follows raises OSError where the storage does not answer.

    def version(self) -> Version | None:
        """Which version of a file is there; None if none is."""
        files, path = self._opened
        info = files.get_file_info(path)
        return (info.size, info.mtime_ns) if info.is_file else None

    def versions(self, *, recursive: bool = True) -> dict[str, Version]:
        """The files in a folder, by their path in it."""
        files, path = self._opened
        found = files.get_file_info(self._selector(recursive=recursive))
        return {info.path[len(path) + 1 :]: (info.size, info.mtime_ns) for info in found if info.is_file}

    def folders(self) -> list[str]:
        """The names of the folders in a folder."""
        from pyarrow.fs import FileType

        files = self._opened[0]
        found = files.get_file_info(self._selector(recursive=False))
        return sorted(info.base_name for info in found if info.type == FileType.Directory)

    def read(self) -> str | None:
        """The text of a small file; None if there is none."""
        files, path = self._opened
        try:
            with files.open_input_stream(path) as stream:
                return bytes(stream.read()).decode()
        except FileNotFoundError:
            return None

    def write(self, text: str) -> None:
        """Write a small file, in one move."""
        with self._stream() as stream:
            stream.write(text.encode())

    def upload(self, file: BinaryIO) -> None:
        """Write what is left of an open file, in one move."""
        with self._stream() as stream:
            shutil.copyfileobj(file, stream, _CHUNK_BYTES)

    def copy_to(self, other: "Remote") -> None:
        """Have the storage copy a file."""
        files, path = self._opened
        files.copy_file(path, other._opened[1])

    def download(self, path: Path) -> None:
        """Bring a file here, in one move; its folder is made.

        Raises:
            DiskFullError: there is no room for it here.
            FileNotFoundError: there is none.
        """
        files, source = self._opened
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.open_input_stream(source) as stream, replacing(path) as partial, partial.open("wb") as file:
            while chunk := stream.read(_CHUNK_BYTES):
                file.write(chunk)

    def delete(self) -> None:
        """Remove a file, if it is there."""
        files, path = self._opened
        with suppress(FileNotFoundError):
            files.delete_file(path)

    @property
    def _opened(self) -> "tuple[FileSystem, str]":
        files, root = _open(self.storage, self.options)
        return files, f"{root}/{self.path}"

    def _stream(self) -> Any:
        files, path = self._opened
        if self.storage.partition(":")[0] not in _WITH_BUCKETS:
            files.create_dir(path.rpartition("/")[0])
        return files.open_output_stream(path)

    def _selector(self, *, recursive: bool) -> Any:
        from pyarrow.fs import FileSelector

        return FileSelector(self._opened[1], recursive=recursive, allow_not_found=True)


def download_all(files: "dict[Path, Remote]", then: Callable[[Path], None] = lambda path: None) -> None:
    """Bring files here, several at once.

    Args:
        files: path here to the file there.
        then: called with the path of each that has come, one call at a time.
    """
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for path, done in [(path, pool.submit(remote.download, path)) for path, remote in files.items()]:
            try:
                done.result()
            except FileNotFoundError:  # It was removed meanwhile.
                continue
            then(path)


def why(error: BaseException) -> str:
    """In a line, what keeps a storage from being used."""
    text = _first_line(error)
    if "ACCESS_DENIED" in text or "SIGNATURE_DOES_NOT_MATCH" in text or "INVALID_ACCESS_KEY" in text:
        return f"the storage lets nobody in with these credentials, or there are none ({text})"
    if "NETWORK_CONNECTION" in text:
        return f"the storage does not answer ({text})"
    return text


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].partition("; Details:")[0]


@cache
def _open(storage: str, options: str) -> "tuple[FileSystem, str]":
    """The file system of a storage, and where paths begin in it."""
    from pyarrow.fs import FileSystem

    if storage.startswith("s3:"):  # Then a small file is one request in place of three.
        options = "&".join(filter(None, [options, "allow_delayed_open=true"]))
    files, root = FileSystem.from_uri(f"{storage}/?{options}" if options else f"{storage}/")
    return files, root.rstrip("/")

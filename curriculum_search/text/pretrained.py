"""Networks of the transformers library (an optional extra) in a folder: finding it, telling it from others, reading it.

Only files of safetensors are read, which cannot run code.
"""

import hashlib
import json
import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curriculum_search.hub import fetched, first_line, is_name

_CONFIG = "config.json"
_FETCHED = ("*.json", "*.txt", "*.model", "*.safetensors")
_SAMPLE_BYTES = 2**20


def folder_of(path: str, what: str) -> Path:
    """The folder of a network: `path` itself, or that in which what the hub has under this name was put.

    Args:
        path: a folder as ``save_pretrained`` writes it, or a name on the hub.
        what: it is, for messages.

    Raises:
        ValueError, FileNotFoundError: it is not there, cannot be fetched, or is not such a folder.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        if not is_name(path):
            raise FileNotFoundError(f"{what}: {path} does not exist (looked for {folder.absolute()})")
        check_library()
        try:
            folder = fetched(path, _FETCHED)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{what}: {error}") from error
    if not (folder / _CONFIG).is_file():
        raise FileNotFoundError(f"{what}: {path} has no {_CONFIG}: it is not the folder of a network of transformers")
    if not list(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{what}: {path} has no *.safetensors with weights")
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    """What its config says of a network."""
    config: dict[str, Any] = json.loads((folder / _CONFIG).read_text())
    return config


@lru_cache
def checksum_of(folder: Path) -> str:
    """What tells the network in a folder from others: a hash of its configs, its vocabulary and its weights.

    Of the weights it takes in their size and a part of their beginning, middle and end, which any training changes: a
    worker that only reads encodings need not read gigabytes.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix == ".safetensors":
            size = file.stat().st_size
            digest.update(f"{file.name} {size}".encode())
            with file.open("rb") as weights:
                for start in (0, size // 2, max(size - _SAMPLE_BYTES, 0)):
                    weights.seek(start)
                    digest.update(weights.read(_SAMPLE_BYTES))
        elif file.suffix in (".json", ".txt", ".model"):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def read_network(class_name: str, folder: Path, what: str, **options: Any) -> Any:
    """A network of transformers on the CPU, in evaluation mode, without gradients.

    Raises:
        ValueError: it cannot be read, or has not all the weights that it needs.
    """
    network, info = _read(
        what,
        folder,
        lambda: _from_folder(class_name, folder, output_loading_info=True, use_safetensors=True, **options),
    )
    if missing := sorted([*info["missing_keys"], *info["mismatched_keys"]]):
        raise ValueError(f"{what}: {folder} lacks {len(missing)} of the weights of a {class_name}, as {missing[0]}")
    return network.eval().requires_grad_(False).float()


def read_tokeniser(folder: Path, what: str) -> Any:
    """What divides captions into tokens.

    Raises:
        ValueError: it cannot be read.
    """
    return _read(what, folder, lambda: _from_folder("AutoTokenizer", folder))


def check_library() -> None:
    """Raise ValueError where transformers is not installed."""
    if find_spec("transformers") is None:
        raise ValueError("text encoders need the transformers library: pip install 'curriculum-search[text]'")


def _from_folder(class_name: str, folder: Path, **options: Any) -> Any:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return getattr(transformers, class_name).from_pretrained(str(folder), local_files_only=True, **options)


def _read(what: str, folder: Path, read: Any) -> Any:
    check_library()
    try:
        with warnings.catch_warnings(action="ignore"):
            return read()
    except Exception as error:  # Whatever damaged files bring about, of several libraries.
        raise ValueError(f"{what}: {folder} cannot be read ({first_line(error)})") from error

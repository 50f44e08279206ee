"""What is kept between runs and is not as it was written is made anew, and a warning names it."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from curriculum_search.data import Digits
from curriculum_search.evaluation import Classifier, Pixels
from curriculum_search.evaluation.cache import download_once, once_whole
from curriculum_search.evaluation.features.extractor import Sources
from curriculum_search.evaluation.reference import References

CPU = torch.device("cpu")
PCA = Pixels(num_components=4)

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes(range(256)) * 8,
    "flipped": lambda content: (
        content[: len(content) // 3] + bytes([content[len(content) // 3] ^ 1]) + content[len(content) // 3 + 1 :]
    ),
}


def sources(folder: Path) -> Sources:
    images = Digits().load()
    return Sources(train=images, reference=images, device=CPU, cache_dir=folder)


def gaussian(folder: Path) -> Any:
    features = PCA.load(sources(folder / "other"))
    return References(Digits().load(), {PCA: features}, folder, CPU, 64).gaussian(PCA, None).factor


def rows(folder: Path) -> Any:
    features = PCA.load(sources(folder / "other"))
    return References(Digits().load(), {PCA: features}, folder, CPU, 64).rows(PCA, None, 50)


def components(folder: Path) -> Any:
    return PCA.load(sources(folder)).checksum


def classifier(folder: Path) -> Any:
    return Classifier(num_features=8, training_images=256).load(sources(folder)).checksum


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("read", [gaussian, rows, components, classifier])
def test_a_damaged_file_is_made_anew_and_named(tmp_path: Path, read: Callable[[Path], Any], damage: str) -> None:
    first = read(tmp_path)
    (file,) = [path for path in tmp_path.iterdir() if path.suffix in (".npz", ".pt")]
    content = file.read_bytes()
    file.write_bytes(DAMAGES[damage](content))
    with pytest.warns(UserWarning, match=rf"^{re.escape(str(file))} is damaged, and is made anew$"):
        again = read(tmp_path)
    assert torch.equal(torch.as_tensor(again), torch.as_tensor(first)) if torch.is_tensor(first) else again == first


def test_a_download_that_is_not_as_published_any_more_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "published").write_bytes(b"weights")
    url, sha256 = (tmp_path / "published").as_uri(), hashlib.sha256(b"weights").hexdigest()
    path = download_once(url, sha256, tmp_path / "cache", "advice")
    path.write_bytes(b"wei")
    with pytest.warns(UserWarning, match="published is damaged, and is made anew"):
        assert download_once(url, sha256, tmp_path / "cache", "advice").read_bytes() == b"weights"


def test_a_file_system_without_locks_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*arguments: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    assert len(once_whole(tmp_path / "file", lambda target: torch.save({}, target), lambda path: path.read_bytes())) > 0

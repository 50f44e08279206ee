"""What is made of arrays is made once on a machine."""

from pathlib import Path

import numpy as np
import pytest

from curriculum_search.data import array_store
from curriculum_search.data.array_store import ArrayStore
from curriculum_search.data.images import content_hash

IMAGES = np.random.default_rng(0).integers(0, 256, (2000, 1, 4, 4), dtype=np.uint8)
MEANS = np.round(IMAGES.reshape(2000, 1, 2, 2, 2, 2).mean(axis=(3, 5))).astype(np.uint8)
LABELS = np.arange(2000)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArrayStore:
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(tmp_path / "cache"))
    return ArrayStore(tmp_path / "a.npy", "now")


def test_images_are_averaged_once_into_a_file_that_is_mapped(
    store: ArrayStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert np.array_equal(store.scaled(IMAGES, 2), MEANS)

    def average(*arguments: object) -> None:
        raise AssertionError("averaged again")

    monkeypatch.setattr(array_store, "_average", average)
    again = ArrayStore(tmp_path / "a.npy", "now").scaled(IMAGES, 2)
    assert isinstance(again, np.memmap)
    assert np.array_equal(again, MEANS)
    for other in (ArrayStore(tmp_path / "a.npy", "later"), ArrayStore(tmp_path / "sub" / "a.npy", "now")):
        with pytest.raises(AssertionError, match="averaged again"):
            other.scaled(IMAGES, 2)


def test_a_hash_is_that_of_the_content_and_made_once(
    store: ArrayStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = content_hash(IMAGES, LABELS)
    assert store.hash(IMAGES, LABELS) == expected
    (kept,) = (tmp_path / "cache" / "decoded").iterdir()
    kept.write_text("damaged")
    assert store.hash(IMAGES, LABELS) == expected

    def content(*arguments: object) -> str:
        raise AssertionError("hashed again")

    monkeypatch.setattr(array_store, "content_hash", content)
    assert ArrayStore(tmp_path / "a.npy", "now").hash(IMAGES, LABELS) == expected
    for labels in (None, LABELS + 1):
        with pytest.raises(AssertionError, match="hashed again"):
            store.hash(IMAGES, labels)


def test_where_nothing_can_be_written_all_is_made_by_each_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(tmp_path / "file"))
    store = ArrayStore(tmp_path / "a.npy", "now")
    assert np.array_equal(store.scaled(IMAGES, 2), MEANS)
    assert store.hash(IMAGES, LABELS) == content_hash(IMAGES, LABELS)

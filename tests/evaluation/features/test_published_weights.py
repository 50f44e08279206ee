"""Weights that are published, and come from a file or over a network."""

import dataclasses
import urllib.request
from pathlib import Path

import pytest

from curriculum_search.data import MemoryImages
from curriculum_search.evaluation import DinoV2, Inception, Sources


@pytest.mark.parametrize("extractor", [Inception, DinoV2])
def test_weights_that_are_missing_or_not_the_published_ones_are_named(
    extractor: type[Inception] | type[DinoV2], digits: MemoryImages, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        extractor(path=str(tmp_path / "missing.pth")).check(digits, digits)
    (tmp_path / "other.pth").write_text("other")
    with pytest.raises(
        ValueError, match="has SHA-256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
    ):
        extractor(path=str(tmp_path / "other.pth")).check(digits, digits)


def test_without_a_network_the_error_says_what_to_do(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    for extractor in (Inception(), DinoV2()):
        with pytest.raises(ValueError, match=r"could not be downloaded \(no route to host\); get the file .* `path`"):
            extractor.load(dataclasses.replace(sources, cache_dir=tmp_path))

"""CITATION.cff and CHANGELOG.md are of the version that pyproject.toml has."""

import tomllib

import yaml
from support.pages import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    assert citation["authors"] == [{"name": "The curriculum-search authors"}]
    (paper,) = citation["references"]
    assert paper["title"] == "Denoising Task Difficulty-based Curriculum for Training Diffusion Models"
    assert paper["identifiers"][0]["value"] == "arXiv:2403.10348"


def test_the_changelog_begins_with_this_version() -> None:
    (first, *_) = (line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert first.startswith(f"## {VERSION}")

"""`make docs`: the site is built in strict mode, has every page, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        built = page.relative_to(ROOT / "docs").with_suffix(".html")
        built = built.with_name("index.html") if built.name == "README.html" else built
        assert (site / built).is_file()
        assert f'href="{built}"' in index


def test_the_site_has_how_to_contribute_and_what_has_changed(site: Path) -> None:
    assert "Add a kind, worked out" in (site / "CONTRIBUTING.html").read_text()
    assert (site / "CHANGELOG.html").is_file()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?([^\"\s>]+)", page.read_text())
        loaded += re.findall(r"<link[^>]* href=\"?([^\"\s>]+)[^>]*>", page.read_text())
        assert loaded
        assert not [address for address in loaded if re.match(r"(?:https?:)?//", address)], page

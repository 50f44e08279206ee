"""What the site has beside the pages in docs/: a navigation of whatever pages there are, and two files of the root.

A folder's pages come in the order in which its README.md links them, then those that it does not link yet.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
TOP = (
    "tutorial.md",
    "how-to",
    "reference",
    "explanation",
    "findings.md",
    "benchmarks.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the root, and order what is there."""
    for name in TOP:
        if (ROOT / name).is_file():
            text = (ROOT / name).read_text().replace("](docs/", "](")
            files.append(File.generated(config, name, content=text))
    pages = [file.src_uri for file in files.documentation_pages()]
    config.nav = [{"Overview": "README.md"}, *(_entry(name, pages) for name in TOP)]
    return files


def _entry(path: str, pages: list[str]) -> Any:
    """A page, or the title of a folder to its pages."""
    if path in pages:
        return path
    index = f"{path}/README.md"
    text = (ROOT / "docs" / index).read_text()
    linked = re.findall(r"\]\(([^)#]+)", text)
    below = {page.removeprefix(f"{path}/").partition("/")[0] for page in pages if page.startswith(f"{path}/")}
    names = sorted(below - {"README.md"}, key=lambda name: (_place(name, linked), name))
    title = re.search(r"^# (.+)$", text, re.M)
    return {title[1] if title else path: [index, *(_entry(f"{path}/{name}", pages) for name in names)]}


def _place(name: str, linked: list[str]) -> int:
    """Where a folder's index links a page, or a folder below."""
    return next((place for place, to in enumerate(linked) if to.partition("/")[0] == name), len(linked))

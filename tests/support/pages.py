"""The pages of the documentation, and the blocks that they show."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```$", re.M | re.S)
_NAMED = re.compile(r"# ([\w./-]+\.py)\n|# ([\w./-]+\.ya?ml)\b.*\n")  # a fragment may begin "# train.py, where ..."
_NAMED_BEFORE = re.compile(r"^`([\w./-]+\.(?:py|ya?ml))`.*:\n\n\Z", re.M)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        page: the file that shows it.
        line: of its fence, from 1.
        language: the word after the fence; "" is what is printed.
        text: what is in it.
        run: whether the page says that it is to be run.
        before: the lines before its fence.
    """

    page: Path
    line: int
    language: str
    text: str
    run: bool
    before: str

    @property
    def name(self) -> str | None:
        """The file that the block is, as its first line or the line before it says; None: no file."""
        match = _NAMED.match(self.text) or _NAMED_BEFORE.search(self.before)
        return match[match.lastindex or 0] if match else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    """Every page that users read."""
    return (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page."""
    text = page.read_text()
    return tuple(
        Block(
            page=page,
            line=text.count("\n", 0, match.start(2)) + 1,
            language=match[2],
            text=match[3],
            run=match[1] is not None,
            before=text[: match.start()],
        )
        for match in _FENCE.finditer(text)
    )


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of every page in any of the languages."""
    return [block for page in pages() for block in blocks(page) if block.language in languages]


def prose(page: Path) -> str:
    """A page without its fenced blocks, line for line."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text())


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows."""
    for block in blocks(page):
        if block.name is not None:
            path = folder / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert path.resolve().is_relative_to(folder.resolve()), f"{page}: {block.name} is the repository's own file"
            path.write_text(block.text)

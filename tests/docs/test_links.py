"""Links lead somewhere, and pages look alike on GitHub and in the site."""

import re
from pathlib import Path

import pytest
from support.pages import ROOT, pages, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
every_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def anchors(page: Path) -> list[str]:
    return [slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(page), re.M)]


@every_page
def test_every_link_leads_to_a_page_an_anchor_or_a_picture(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{link} leads nowhere"
        assert target.suffix in (".md", ".png", ".svg", ".pdf", ".cff"), f"{link}: name a file of the code in backticks"
        if anchor:
            assert anchors(target).count(anchor) == 1, f"{link}: one heading of that anchor is needed"


@every_page
def test_pages_of_the_site_link_into_it_alone(page: Path) -> None:
    docs = ROOT / "docs"
    for link in LINK.findall(prose(page)):
        if docs in page.parents and not link.startswith(("http", "#")):
            assert docs in (page.parent / link.partition("#")[0]).resolve().parents, f"{link} is not in docs/"


@every_page
def test_a_page_has_one_title_and_it_comes_first(page: Path) -> None:
    text = re.sub(r"^<!-- Generated .*?-->\n+", "", prose(page))
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", text, re.M)) == 1


@every_page
def test_a_blank_line_stands_before_what_is_not_the_paragraph_going_on(page: Path) -> None:
    """GitHub forgives its absence, the site does not."""
    kinds = {"list": r"(?:[-*+]|\d+\.) ", "table": r"\|", "heading": r"#+ ", "fence": "```"}
    lines = page.read_text().splitlines()
    fenced = False
    for number, (before, line) in enumerate(zip(["", *lines], lines, strict=False), 1):
        for kind, start in kinds.items():
            if re.match(start, line) and not fenced and before and not (kind in ("list", "table") and _goes_on(before)):
                assert re.match(f"{start}|<!-- run -->", before), (
                    f"line {number}: a {kind} needs a blank line before it"
                )
        fenced ^= line.startswith("```")


def _goes_on(before: str) -> bool:
    return before.startswith((" ", "|"))


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_page_of_a_folder_is_found_from_the_readme_or_by_its_folder() -> None:
    for folder in {page.parent for page in pages()} - {ROOT}:
        assert (folder / "README.md").is_file(), f"{folder.relative_to(ROOT)} has no README.md"


def test_the_rooms_that_contributing_names_are_those_of_the_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    package = ROOT / "curriculum_search"
    rooms = {path.name for path in package.iterdir() if path.is_dir() and path.name[0] != "_"}
    table = re.findall(r"`(\w+)/`|`(\w+\.py)`", "\n".join(line for line in text.splitlines() if line.startswith("| `")))
    named = {folder or file for folder, file in table}
    assert not rooms - named
    for name in named:
        assert any((place / name).exists() for place in (package, package / "search", ROOT)), f"there is no {name}"

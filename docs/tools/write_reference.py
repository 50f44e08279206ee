"""Write the generated pages of docs/reference: ``python docs/tools/write_reference.py [--check]``.

With ``--check`` nothing is written; pages that would change are named, and the exit status is 1.
"""

import argparse
import sys
from pathlib import Path

import command_reference
import field_reference

REFERENCE = Path(__file__).parents[1] / "reference"
MARK = "<!-- Generated from the docstrings by docs/tools/write_reference.py: do not edit. -->\n\n"


def generated() -> dict[Path, str]:
    """Every generated page, by its path."""
    pages = {"commands.md": command_reference.page(), **field_reference.pages()}
    return {REFERENCE / page: f"{MARK}{text.strip()}\n" for page, text in pages.items()}


def main() -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a page is stale")
    check = parser.parse_args().check
    pages = generated()
    old = [path for path in REFERENCE.rglob("*.md") if path.read_text().startswith(MARK) and path not in pages]
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if check:
        for path in sorted([*stale, *old]):
            print(f"{path.relative_to(REFERENCE.parents[1])} is stale: run make reference")
        sys.exit(bool(stale or old))
    for path in old:
        path.unlink()
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()

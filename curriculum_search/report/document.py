"""report.md: a study in one file, beside its figures."""

import os
from collections.abc import Mapping
from pathlib import Path


def write_report(path: Path, *, title: str, sections: Mapping[str, str], figures: Mapping[str, Path]) -> Path:
    """Write a Markdown report.

    Args:
        path: of the report.
        title: its heading.
        sections: heading to Markdown text, as of `markdown_table`; a section without a heading comes under the title.
        figures: caption to image file; the report names them relative to its own folder.
    """
    parts = [f"# {title}"]
    for heading, text in sections.items():
        parts += [f"## {heading}"] if heading else []
        parts.append(text.strip())
    for caption, figure in figures.items():
        relative = Path(os.path.relpath(figure, path.parent)).as_posix()
        parts.append(f"![{caption}]({relative})\n\n*{caption}*")
    path.write_text("\n\n".join(parts) + "\n")
    return path

"""The table at the end of a study."""

import io
from typing import Any

from rich.console import Console

from curriculum_search.direction import Direction
from curriculum_search.report import Row, data_frame, markdown_table, terminal_table

ROWS = [
    Row(
        group="baselines",
        name="no curriculum",
        value=9.1234,
        spread=0.4,
        num_seeds=5,
        images=48_000,
        train_seconds=12.4,
    ),
    Row(group="baselines", name="reversed", value=None, images=0, train_seconds=None, note="diverged: loss is nan"),
    Row(
        group="leaders",
        name="easy to hard [20|linear]",
        value=7.01,
        others={"kid": 0.03125},
        images=48_000,
        train_seconds=11,
    ),
]


def shown(rows: list[Row], *, width: int = 100, styles: bool = False, **options: Any) -> str:
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True)
    console.print(terminal_table(rows, metric="fd_500", **options))
    return console.export_text(styles=styles)


def test_the_terminal_table_has_a_line_for_every_arm_under_its_group() -> None:
    text = "\n".join(" ".join(line.split()) for line in shown(ROWS, title="quickstart").splitlines())
    assert "arm fd_500 kid images train s" in text
    assert "no curriculum 9.123 ± 0.4 (5) 48,000 12" in text
    assert "reversed - 0\n" in text
    assert "diverged: loss is nan" in text
    assert text.index("baselines") < text.index("reversed") < text.index("leaders") < text.index("easy to hard")
    assert "quickstart" in text


def test_the_best_value_is_bold_whichever_way_is_better() -> None:
    bold = "\x1b[1m"
    assert bold + "easy to hard" in shown(ROWS, styles=True)
    assert bold + "no curriculum" in shown(ROWS, styles=True, direction=Direction.MAXIMIZE)
    assert bold + "no curriculum" not in shown(ROWS, styles=True)


def test_numbers_stay_whole_in_a_narrow_terminal() -> None:
    text = shown(ROWS, width=60)
    for number in ("9.123 ± 0.4 (5)", "0.03125", "48,000"):
        assert number in text


def test_the_markdown_table_says_the_same() -> None:
    lines = markdown_table(ROWS, metric="fd_500").splitlines()
    assert lines == [
        "|  | arm | fd_500 | kid | images | train s | note |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        "| baselines | no curriculum | 9.123 ± 0.4 (5) |  | 48,000 | 12 |  |",
        "| baselines | reversed | - |  | 0 |  | diverged: loss is nan |",
        "| **leaders** | **easy to hard [20\\|linear]** | **7.01** | **0.03125** | **48,000** | **11** |  |",
    ]


def test_the_data_frame_has_the_numbers_of_the_table() -> None:
    frame = data_frame(ROWS, metric="fd_500")
    assert list(frame.columns) == ["group", "arm", "mean", "sd", "seeds", "kid", "images", "train_seconds", "note"]
    assert frame.attrs["metric"] == "fd_500"
    assert frame["arm"].tolist() == [row.name for row in ROWS]
    assert frame["mean"].tolist()[::2] == [9.1234, 7.01]
    assert frame["mean"].isna().tolist() == [False, True, False]
    assert (frame["seeds"].tolist(), frame["images"].tolist()) == ([5, 1, 1], [48_000, 0, 48_000])
    assert frame["kid"].notna().tolist() == [False, False, True]
    assert frame["note"].tolist() == ["", "diverged: loss is nan", ""]
    assert len(data_frame([], metric="fd_500")) == 0

"""A verdict in layers, as each place shows it."""

import io

from rich.console import Console

from curriculum_search.report import VerdictLayers

LAYERS = VerdictLayers(
    headline="Trial 11 beats ordinary training: 14 % lower fd_250 (95 %: 2 to 26 %), 6 seeds.",
    order="exposure is shown, an order on top is not; " + "and so it goes on, " * 6,
    metrics="kid|2 agrees: 7 % lower (95 %: [1] to 12 %).",
    sooner="with 78 % of the images.",
    next_step="try best_density.yaml.",
    fine_print=("p = 0.022.", "sd is over seeds."),
)


def terminal(width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(LAYERS.terminal())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_the_headline_the_labelled_lines_and_the_fine_print_at_any_width() -> None:
    wide = terminal(200).splitlines()
    assert wide[0].rstrip() == f"Verdict: {LAYERS.headline}"
    assert [line.split("  ")[0] for line in wide[1:5]] == list(LAYERS.lines)
    assert wide[-1].rstrip() == "p = 0.022. sd is over seeds."
    narrow = terminal(44)
    assert max(map(len, narrow.splitlines())) <= 44
    assert "[1]" in narrow  # no markup of rich's
    assert "".join(narrow.split()).count("andsoitgoeson,") >= 1


def test_markdown_has_them_as_a_list_and_leaves_names_as_they_are() -> None:
    headline, lines, fine = LAYERS.markdown().split("\n\n")
    assert headline == f"**{LAYERS.headline}**"
    assert lines.splitlines()[1] == "- **Other metrics:** kid\\|2 agrees: 7 % lower (95 %: \\[1\\] to 12 %)."
    assert len(lines.splitlines()) == 4
    assert fine == "*p = 0.022. sd is over seeds.*"


def test_the_head_of_a_file_has_them_in_lines_that_fit() -> None:
    plain = LAYERS.plain().splitlines()
    assert plain[0] == LAYERS.headline
    assert plain[1].startswith("Order or exposure: exposure is shown, an order on top is not; ")
    assert plain[2].startswith("  ")
    assert plain[-1] == "p = 0.022. sd is over seeds."
    assert max(map(len, plain)) <= 110

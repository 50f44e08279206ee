"""The report of a study in one file."""

from pathlib import Path

from curriculum_search.report import Row, markdown_table, write_report

ROWS = [Row(group="baselines", name="no curriculum", value=9.1234, images=48_000, train_seconds=12.4)]


def test_the_report_joins_text_and_figures_by_paths_that_move_with_it(tmp_path: Path) -> None:
    path = write_report(
        tmp_path / "report.md",
        title="quickstart",
        sections={"": "Not separable.", "Arms": markdown_table(ROWS, metric="fd_500")},
        figures={"Convergence": tmp_path / "figures" / "convergence.png"},
    )
    text = path.read_text()
    assert text.startswith("# quickstart\n\nNot separable.\n\n## Arms\n\n|  | arm |")
    assert text.endswith("![Convergence](figures/convergence.png)\n\n*Convergence*\n")


def test_figures_of_another_folder_are_found_from_the_reports_own(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    path = write_report(
        tmp_path / "study" / "report.md", title="study", sections={}, figures={"Stages": tmp_path / "shared" / "a.png"}
    )
    assert path == tmp_path / "study" / "report.md"
    assert path.read_text() == "# study\n\n![Stages](../shared/a.png)\n\n*Stages*\n"

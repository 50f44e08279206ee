"""What a report says beside the arms."""

from collections.abc import Callable

import pytest
from support.study import MakeSearch
from support.theatre import Theatre, ablation_of, confirmation_of
from support.workplace import Workplace

from curriculum_search.search.optuna.importance import importances
from curriculum_search.search.results.sections import Section, sections

PLAIN = Section(heading="Nothing", sentence="There is nothing to say.")
TABLE = Section(
    heading="Change",
    sentence="It changes by 3.",
    columns={"arm": ["a", "b"], "mean": ["1", "2"]},
    meaning="Take it for a hint.",
)


def test_a_section_is_sentence_table_and_meaning_in_the_report() -> None:
    assert PLAIN.markdown() == "There is nothing to say."
    sentence, table, meaning = TABLE.markdown().split("\n\n")
    assert (sentence, meaning) == ("It changes by 3.", "Take it for a hint.")
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[::2]] == [
        ["arm", "mean"],
        ["a", "1"],
    ]


def test_a_section_is_table_and_sentence_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    PLAIN.print()
    assert capsys.readouterr().out == "Nothing: There is nothing to say.\n"
    TABLE.print()
    out = capsys.readouterr().out
    assert out.endswith("Change: It changes by 3.\n\n")
    assert out.index("arm") < out.index("Change: It")
    assert "hint" not in out


Say = Callable[..., dict[str, Section]]


@pytest.fixture
def say(workplace: Workplace, make_search: MakeSearch) -> Say:
    """Plays a study with overrides, and gives its sections by their heading."""

    def play(*overrides: str) -> dict[str, Section]:
        search = make_search(workplace.load("study.trials=4", *overrides))
        Theatre(search).play()
        confirmation = confirmation_of(search)
        Theatre(confirmation).play()
        ablation = ablation_of(confirmation)
        Theatre(ablation).play()
        tables = importances(search.searcher.study, search.file.space, search.file.objectives)
        return {section.heading: section for section in sections(search.file, search, ablation, tables)}

    return play


IMPORTANCE = "Importance of each parameter over all trials"
PATH = "From ordinary training to the winner"


def test_a_plain_study_has_only_what_can_be_said_of_its_parameters(say: Say) -> None:
    found = say()
    assert PATH not in found
    assert not [heading for heading in found if heading.startswith("Pareto")]
    assert found[IMPORTANCE].columns == {}
    assert found[IMPORTANCE].tag == ""  # nothing for MLflow
    assert found[IMPORTANCE].sentence.startswith("too few complete trials (4, ")


def test_the_pareto_set_has_each_objective_with_its_better_side(say: Say) -> None:
    section = say("study.secondary_objectives=[images_to_baseline]")["Pareto set of the search"]
    assert list(section.columns) == ["arm", "val_loss", "images_to_baseline"]
    front = section.columns["arm"]
    assert section.sentence.startswith(f"{len(front)} of 6 configs; ")
    assert "(lower is better: val_loss, images_to_baseline)" in section.sentence
    assert [float(value) for value in section.columns["val_loss"]] == sorted(
        float(value) for value in section.columns["val_loss"]
    )
    assert section.tag == "pareto_set"
    assert len(section.summary.split(", ")) == len(front)


def test_the_path_has_a_row_for_each_step_and_what_it_brought(say: Say) -> None:
    section = say("study.ablation_seeds=2")[PATH]
    assert {len(cells) for cells in section.columns.values()} == {5}
    assert section.columns["change"][0] == "ordinary training at the settings of base"
    assert section.columns["brought"][0] == ""
    assert section.columns["seeds"][0] == "2"
    steps = [float(cell.split(" ")[0]) for cell in section.columns["brought"][1:]]
    whole = float(section.sentence.split("changes by ")[1].split(" ")[0])
    assert sum(steps) == pytest.approx(whole, abs=0.02)
    assert section.tag == "ablation"
    assert section.summary.count("; ") == 3


def test_a_path_that_the_budget_left_no_runs_for_is_a_sentence(say: Say) -> None:
    found = say("study.ablation_seeds=2", "study.confirmation.leaders=1", "space.training.learning_rate=null")
    assert "exposure only" in found[PATH].meaning
    nothing = say(
        "study.ablation_seeds=2",
        "space.curriculum.order.kind.choices=[none]",
        "study.name=plain",
        "space.curriculum.num_clusters=null",
    )
    assert nothing[PATH].columns == {}
    assert nothing[PATH].sentence.startswith("No path: ")


def test_importances_are_shares_of_each_objective(say: Say) -> None:
    section = say("study.trials=20", "study.equal_tries=false")[IMPORTANCE]
    assert set(section.columns["parameter"]) == {"training.learning_rate", "curriculum.order.kind"}
    shares = [int(cell.removesuffix(" %")) for cell in section.columns["val_loss"]]
    assert shares == sorted(shares, reverse=True)
    assert 99 <= sum(shares) <= 101
    assert section.tag == "importance_all_trials"
    assert section.summary == ", ".join(
        f"{parameter} {share} %" for parameter, share in zip(section.columns["parameter"], shares, strict=True)
    )

"""A study of the time at which the published setting was stretched over half of every run, under the name that it has
now at the paper's share of it."""

from pathlib import Path

import pytest
from support.spending import record, run_of
from support.workplace import Workplace

from curriculum_search.loading import UserError
from curriculum_search.search.driver import check_same_study, write_fingerprint


@pytest.fixture
def earlier(workplace: Workplace) -> Path:
    """The folder of such a study."""
    file, folder = workplace.load(), workplace.results / "tiny"
    folder.mkdir()
    write_fingerprint(folder, file)
    record(folder, run_of(file, order="no_curriculum"), images=320)
    record(folder, run_of(file, order="published_stretched"), images=320)
    return folder


def test_it_is_told_how_it_is_read_and_how_one_gets_the_new_setting(workplace: Workplace, earlier: Path) -> None:
    with pytest.raises(UserError) as error:
        check_same_study(earlier, workplace.load())
    assert str(error.value) == (
        f"{workplace.study}: study.baselines: the runs of published in {earlier} last half of the run, as they once "
        "did; now they last as long as in the paper, 2 % of it.  For the study as it is, "
        "study.baselines=[no_curriculum,published_stretched]; for the paper's share, give the study another name"
    )


def test_as_it_is_told_it_is_read(workplace: Workplace, earlier: Path) -> None:
    check_same_study(earlier, workplace.load("study.baselines=[no_curriculum,published_stretched]"))


def test_a_study_that_has_had_both_settings_may_leave_either_out(workplace: Workplace, earlier: Path) -> None:
    record(earlier, run_of(workplace.load(), order="published"), images=320)
    check_same_study(earlier, workplace.load())
    check_same_study(earlier, workplace.load("study.baselines=[no_curriculum,published,published_stretched]"))

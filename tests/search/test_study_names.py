"""A study's name is a folder's name, and its seed is one that every consumer takes."""

import re
from pathlib import Path

import optuna
import pytest
import torch

from curriculum_search.loading import UserError, parse_overrides, validated
from curriculum_search.search.optuna.samplers import SearchSampler
from curriculum_search.search.study import LARGEST_SEED, RESERVED, Study


def study(**fields: object) -> Study:
    return validated(Study, {"name": "a", "objective": "val_loss"} | fields, "study.yaml", "study")


@pytest.mark.parametrize(
    "name",
    ["a", "a" * 100, "digits-2026.01", "größe_1", "学習", "実" * 85, "a=b", "a%2Fb", "a?v=2", "~", "😀", "e\u0301"],
)
def test_a_name_that_a_folder_can_have_is_taken(tmp_path: Path, name: str) -> None:
    folder = tmp_path / study(name=name).name
    folder.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


NAMES = {
    "nothing": "",
    "too long": "a" * 101,
    "too many bytes": "実" * 86,
    "NUL": "a\0b",
    "a line break": "a\nb",
    "an escape": "a\x1b[2Kb",
    "a delete": "a\x7f",
    "a C1 control": "a\x85b",
    "right to left": "a\u202egpj.b",
    "a bidirectional isolate": "a\u2066b\u2069",
    "a direction mark": "a\u200f",
    "nothing visible": "a\u200bb",
    "a byte order mark": "\ufeffa",
    "a space": "a b",
    "another space": "a\u00a0b",
    "a separator": "a\u2028b",
    "a tab": "a\tb",
    "an unassigned character": "a\U000e0080",
    "an option": "-rf",
    "a hidden folder": ".a",
    "this folder": ".",
    "the folder above": "..",
    "a path": "a/b",
    "a path of Windows": "a\\b",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_a_name_that_no_folder_should_have_is_one_printable_line(name: str) -> None:
    with pytest.raises(UserError) as caught:
        study(name=name)
    message = str(caught.value)
    assert re.match(r"study\.yaml: study: name must be usable as a folder's name, .*, not '", message)
    assert message.isprintable()
    assert len(message) < 900


@pytest.mark.parametrize("name", RESERVED)
def test_a_name_that_other_results_have_is_refused(name: str) -> None:
    with pytest.raises(
        UserError, match=f"^study.yaml: study: name must not be '{name}': other results have that name$"
    ):
        study(name=name)


def test_what_a_shell_may_hand_over_is_refused_as_well() -> None:
    with pytest.raises(UserError, match=r"^command line: 'a\\udcff' is not a value that YAML can read: line 1: a char"):
        parse_overrides(["study.name=a\udcff"])


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 2**63, 2**64, -(2**70)])
def test_a_seed_out_of_range_is_named(seed: int) -> None:
    with pytest.raises(UserError, match=rf"^study\.yaml: study: seed must be in \[0, 4294967295\], not {seed}$"):
        study(seed=seed)


@pytest.mark.parametrize("kind", sorted(SearchSampler.kinds().keys() - {"optuna"}))
@pytest.mark.parametrize("seed", [0, LARGEST_SEED])
def test_every_sampler_takes_the_seeds_at_the_ends_of_the_range(kind: str, seed: int) -> None:
    algorithm = study(seed=seed, algorithm={"kind": kind}).algorithm
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trial = optuna.create_study(sampler=algorithm.build(seed)).ask()
    assert 0 <= trial.suggest_float("x", 0, 1) <= 1


def test_torch_takes_the_seeds_that_follow_the_last() -> None:
    generator = torch.Generator()
    assert generator.manual_seed(LARGEST_SEED + 100).initial_seed() == LARGEST_SEED + 100

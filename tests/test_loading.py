"""From a file and a command line to configuration; from a mistake to one message with the file, the field, what was
given and what is allowed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curriculum_search.curriculum import Linear, Pacing, Plateau
from curriculum_search.experiment import Experiment
from curriculum_search.loading import (
    UserError,
    define_plugins,
    dotted,
    load_experiment,
    load_experiment_or_base,
    parse_overrides,
    parse_value,
    read_plugins,
    read_yaml,
    validated,
    with_values,
)
from curriculum_search.search.load import load_study
from curriculum_search.search.study import StudyFile

STUDY = """
study:
  name: tiny
  objective: val_loss
base:
  data: {kind: digits}
  model: {kind: dit, patch_size: 4, hidden_size: 16, depth: 1, num_heads: 2}
  training: {total_images: 640, batch_size: 16, num_evaluations: 4}
  evaluation: {evaluators: [{kind: val_loss, num_images: 8}], final_evaluators: []}
space:
  training.learning_rate: {kind: float, low: 5e-4, high: 5e-3, log: true}
  curriculum.order.kind: {kind: categorical, choices: [easy_to_hard, none]}
  curriculum.pacing.kind: {kind: categorical, choices: [linear, plateau], when: {curriculum.order.kind: easy_to_hard}}
  curriculum.pacing.patience_share: {kind: float, low: 0.01, high: 0.1, when: {curriculum.pacing.kind: plateau}}
"""

Load = Callable[..., StudyFile]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Reads a study file with some text replaced, and overrides."""

    def call(*overrides: str, replace: tuple[str, str] = ("", ""), text: str = STUDY) -> StudyFile:
        path = tmp_path / "study.yaml"
        assert replace[0] in text
        path.write_text(text.replace(*replace))
        return load_study(path, parse_overrides(overrides))

    return call


def test_numbers_are_read_as_people_write_them() -> None:
    values = parse_value("[1e-4, 5E3, 1.5e-3, -2e+2, 0.1, 7, .5]")
    assert values == [1e-4, 5000.0, 1.5e-3, -200.0, 0.1, 7, 0.5]
    assert [type(value) for value in values] == [float] * 5 + [int, float]
    assert parse_value("null") is None
    assert parse_value("2026-01-01") == "2026-01-01"
    assert parse_value("1e") == "1e"


def test_anchors_and_merge_keys_work() -> None:
    assert parse_value("{a: &x {b: 1, c: 2}, d: {<<: *x, c: 3}}") == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"study: [1, 2\nbase: 3", r"study\.yaml: line 2, column 5: expected ',' or ']', but got ':'"),
        (b"a: 1\nb: 2\na: 3\n", r"study\.yaml: line 3, column 1: 'a' is written twice"),
        (b"a:\n  b: {c: 1, c: 2}\n", r"study\.yaml: line 2, column 13: 'c' is written twice"),
        (b"- 1\n- 2\n", r"study\.yaml: must hold a mapping of fields to values, not \[1, 2\]"),
        (b"", r"study\.yaml: must hold a mapping of fields to values, not null"),
        (b"\xff\xfe\x00", r"study\.yaml: is not a text file"),
        (b"a: !!python/name:os.system\n", r"study\.yaml: line 1, column 4: could not determine a constructor"),
        (b"a: !!set {b, c}\n", r"study\.yaml: holds what is no number, text, list or mapping"),
        (b"a: &x [*x]\n", r"study\.yaml: holds what is no number, text, list or mapping"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read \(No such file or directory\)"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_yaml(tmp_path)


@pytest.mark.parametrize("argument", ["training.seed", "=3", ""])
def test_an_override_is_path_and_value(argument: str) -> None:
    with pytest.raises(UserError, match=r"command line: .* is not of the form path=value, as in training\.seed=1"):
        parse_overrides([argument])


def test_an_override_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(UserError, match=r"command line: '\[1' is not a value that YAML can read"):
        parse_overrides(["a=[1"])


def test_values_are_set_by_dotted_path_in_a_copy() -> None:
    raw = {"a": {"b": 1, "c": {"d": 2}}}
    assert with_values(raw, {"a.c.d": 3, "e.f": 4}, "x") == {"a": {"b": 1, "c": {"d": 3}}, "e": {"f": 4}}
    assert raw == {"a": {"b": 1, "c": {"d": 2}}}
    with pytest.raises(UserError, match=r"command line: a\.b\.c: a\.b is 1 and has no fields"):
        with_values(raw, {"a.b.c": 1}, "command line")


def test_values_are_copied_so_that_deeper_ones_do_not_change_them() -> None:
    values = {"pacing": {"kind": "linear"}, "pacing.end_share": 0.3}
    assert with_values({}, values, "x") == {"pacing": {"kind": "linear", "end_share": 0.3}}
    assert values == {"pacing": {"kind": "linear"}, "pacing.end_share": 0.3}


def test_nested_sections_are_dotted_paths_and_lists_are_values() -> None:
    raw = {"model.depth": 1, "model": {"depth": 2, "attention": [1, 2]}, "training": {"total_images": 9}}
    assert dotted(raw) == {"model.depth": 2, "model.attention": [1, 2], "training.total_images": 9}


def test_another_kind_drops_the_fields_of_the_old_one_and_the_same_kind_keeps_them() -> None:
    raw = {"pacing": {"kind": "plateau", "patience_share": 0.1}}
    assert with_values(raw, {"pacing.end_share": 0.3, "pacing.kind": "linear"}, "x") == {
        "pacing": {"kind": "linear", "end_share": 0.3}
    }
    assert with_values(raw, {"pacing.kind": "plateau"}, "x") == raw
    assert with_values(raw, {"pacing": {"kind": "step"}}, "x") == {"pacing": {"kind": "step"}}


def test_a_good_file_is_read_and_any_field_can_be_overridden(load: Load) -> None:
    file = load(
        "study.trials=3",
        "base.training.learning_rate=1e-4",
        "base.curriculum.pacing={kind: plateau, patience_share: 0.2}",
        "space.training.learning_rate.high=1e-2",
        "space.curriculum.num_clusters={kind: int, low: 2, high: 5}",
    )
    assert file.study.trials == 3
    assert file.base.training.learning_rate == 1e-4
    assert file.base.curriculum.pacing == Plateau(patience_share=0.2)
    assert file.space.parameters["training.learning_rate"].values(2) == [5e-4, 1e-2]
    assert "curriculum.num_clusters" in file.space.parameters
    assert file.trial({"curriculum.pacing.kind": "linear"}).experiment.curriculum.pacing == Linear()


MISTAKES = {
    "an unknown key": (
        "base.training.batchsize=3",
        r"base\.training\.batchsize: no such field \(did you mean batch_size\?\); allowed: batch_size, betas, .*",
    ),
    "an unknown key in a list": (
        "base.evaluation.evaluators=[{kind: val_loss}, {kind: val_loss, num_image: 3}]",
        r"base\.evaluation\.evaluators\.1\.num_image: no such field \(did you mean num_images\?\); allowed: kind, .*",
    ),
    "an unknown section": ("bases.seed=3", r"bases: no such section; allowed: study, base, space"),
    "a missing section": ("space=null", r"space: this section is required, and holds fields"),
    "a wrong type": (
        "base.training.batch_size=many",
        r'base\.training\.batch_size: must be a whole number, not "many"',
    ),
    "a number that is not whole": ("study.trials=2.5", r"study\.trials: must be a whole number, not 2\.5"),
    "a word for a number": ("study.trials=yes", r'study\.trials: must be a whole number, not "yes"'),
    "nothing": ("base.seed=null", r"base\.seed: must be a whole number, not null"),
    "no number": (
        "base.training.learning_rate=.nan",
        r"base\.training\.learning_rate: must be a finite number, not NaN",
    ),
    "a list that is too long": ("base.training.betas=[1, 2, 3]", r"base\.training\.betas: must hold 2 values, not .*"),
    "a list that is too short": ("base.training.betas=[0.9]", r"base\.training\.betas\.1: is required"),
    "no list": ("base.evaluation.evaluators=3", r"base\.evaluation\.evaluators: must be a list, not 3"),
    "no mapping": ("base.model=dit", r'base\.model: must be a mapping of fields to values, not "dit"'),
    "a value out of range": (
        "base.training.batch_size=24",
        r"base\.training: total_images must be a multiple of batch_size \(24\), not 640; 624 would do",
    ),
    "an unknown word": (
        "base.training.decay=cos",
        r"base\.training\.decay: must be 'constant' or 'cosine', not \"cos\"",
    ),
    "an unknown kind": (
        "base.model.kind=ditt",
        r"base\.model\.kind: 'ditt' is unknown \(did you mean dit\?\); allowed: .*",
    ),
    "a missing kind": ("base.model={depth: 2}", r'base\.model: needs a kind: dit, unet; given {"depth": 2}'),
    "a field of another kind": (
        "base.curriculum.pacing={kind: linear, patience_share: 0.1}",
        r"base\.curriculum\.pacing\.patience_share: no such field .*; allowed: end_share, kind, start_unlocked",
    ),
    "an unknown objective": (
        "study.objective=fid",
        r"study\.objective: no evaluator of base\.evaluation\.evaluators yields 'fid'; they yield: val_loss, .*",
    ),
    "a missing data set": (
        "base.data={kind: folder, path: /nowhere/at/all}",
        r"base\.data: .*/nowhere/at/all does not exist.*",
    ),
    "a sampler that does not fit": (
        "base.process={kind: edm}",
        r"base\.evaluation: sampler ddim needs process ddpm, .*",
    ),
    "workers that cannot share the batch": (
        "base.resources.workers=3",
        r"base: training\.noise_shards must be a multiple of the number of workers \(3\), not 8",
    ),
    "a missing plug-in": ("base.plugins=[nowhere.py]", r"base\.plugins: .*/nowhere\.py cannot be read \(No such .*\)"),
    "plug-ins that are no list": (
        "base.plugins=mine.py",
        r'base\.plugins: must be a list of file names, not "mine\.py"',
    ),
    "a space path that does not exist": (
        "space.training.lr={kind: float, low: 0.1, high: 1.0}",
        r"space\.training\.lr = 0\.1: base\.training\.lr: no such field.*",
    ),
    "a space value that cannot be": (
        "space.training.batch_size={kind: categorical, choices: [16, 48]}",
        r"space\.training\.batch_size = 48: base\.training: total_images must be a multiple of batch_size .*",
    ),
    "a space kind that does not exist": (
        "space.model.kind={kind: categorical, choices: [dit, resnet]}",
        r"space\.model\.kind = 'resnet': base\.model\.kind: 'resnet' is unknown.*; allowed: dit, unet",
    ),
    "a when on an unknown parameter": (
        "space.training.weight_decay={kind: float, low: 0.0, high: 0.1, when: {training.decay: cosine}}",
        r"space\.training\.weight_decay\.when: training\.decay is not a parameter of the space; the others are: .*",
    ),
    "a when on a value that never is": (
        "space.training.weight_decay={kind: float, low: 0.0, high: 0.1, when: {curriculum.order.kind: random}}",
        r"space\.training\.weight_decay\.when: curriculum\.order\.kind is never 'random'.*",
    ),
    "a distribution without a kind": (
        "space.seed={low: 1, high: 2}",
        r'space\.seed: needs a kind: categorical, float, int; given {"low": 1, "high": 2}',
    ),
    "a distribution of an unknown kind": (
        "space.seed={kind: integer, low: 1, high: 2}",
        r"space\.seed\.kind: 'integer' is unknown.*; allowed: categorical, float, int",
    ),
    "a distribution without values": (
        "space.seed={kind: int, low: 3, high: 2}",
        r"space\.seed: low must be at most high and both finite, not 3 and 2",
    ),
    "a value where a distribution belongs": (
        "space.seed=3",
        r"space\.seed: must be a mapping of fields to values, not 3",
    ),
    "a name that is no folder": ("study.name=a/b", r"study: name must be usable as a folder's name, .*, not 'a/b'"),
    "an unknown baseline": (
        "study.baselines=[no_curriculum, best]",
        r"study\.baselines\.1: must be 'no_curriculum', .*",
    ),
    "no ordinary training": ("study.baselines=[published]", r"study: baselines must include no_curriculum: .*"),
}


@pytest.mark.parametrize(("override", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_gets_one_line_with_file_field_given_and_allowed(load: Load, override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(override)
    file, _, rest = str(caught.value).partition(": ")
    assert file.endswith("study.yaml")
    assert re.fullmatch(message, rest), rest  # "." is no line break


def test_two_mistakes_are_told_together(load: Load) -> None:
    with pytest.raises(UserError) as caught:
        load("base.training.batchsize=3", "base.training.total_images=x")
    assert len(str(caught.value).splitlines()) == 2


def test_an_experiment_file_is_checked_like_a_study(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text("training: {learning_rte: 0.1}")
    with pytest.raises(
        UserError, match=r"best\.yaml: training\.learning_rte: no such field \(did you mean learning_rate"
    ):
        load_experiment(path, {})
    path.write_text("training: {learning_rate: 0.1}")
    experiment, plugins = load_experiment(path, parse_overrides(["seed=3"]))
    assert (experiment.training.learning_rate, experiment.seed, plugins) == (0.1, 3, {})


PLUGIN = '''
from dataclasses import dataclass
from typing import Literal
from curriculum_search.curriculum import FixedPacing

@dataclass(frozen=True, kw_only=True)
class Late(FixedPacing):
    """Everything at once, late."""
    kind: Literal["{kind}"] = "{kind}"
    start_share: float = 0.5
    def fraction(self, progress: float) -> float:
        return float(progress >= self.start_share)
'''


def test_a_pacing_of_ones_own_is_searchable_by_its_kind(load: Load, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(PLUGIN.replace("{kind}", "late_of_loading_test"))
    file = load(
        "base.plugins=[late.py]",
        "space.curriculum.pacing.kind={kind: categorical, choices: [late_of_loading_test, linear]}",
        "space.curriculum.pacing.patience_share=null",
    )
    assert "curriculum.pacing.patience_share" not in file.space.parameters
    experiment = file.trial({"curriculum.pacing.kind": "late_of_loading_test"}).experiment
    assert experiment.curriculum.pacing.to_dict() == {"kind": "late_of_loading_test", "start_share": 0.5}
    assert "late_of_loading_test" in Pacing.kinds()
    assert file.plugins == {"late.py": (tmp_path / "late.py").read_text()}


def test_a_plug_in_is_run_once_and_its_failure_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken_loading.py").write_text("x = 1 / 0\n")
    sources = read_plugins(["broken_loading.py"], "x", tmp_path)
    for _ in range(2):
        with pytest.raises(UserError, match=r"plug-in broken_loading\.py fails: ZeroDivisionError: division by zero"):
            define_plugins(sources)
    marker = tmp_path / "marker"
    source = {"once_loading.py": f"open({str(marker)!r}, 'a').write('x')"}
    define_plugins(source)
    define_plugins(source)
    assert marker.read_text() == "x"


def test_plain_values_come_back_as_the_same_experiment(load: Load) -> None:
    base: Any = load("base.curriculum.pacing={kind: plateau}", "base.density={kind: beta, a: 2.0, b: 1.0}").base
    assert validated(Experiment, base.to_dict(), "x") == base


def test_of_a_study_file_the_base_is_an_experiment_and_its_mistakes_are_named_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("study: {}\nbase: {seed: 3, training: {batch_size: 64}}\nspace: {}\n")
    experiment, _ = load_experiment_or_base(path, {"training.batch_size": 32})
    assert (experiment.seed, experiment.training.batch_size) == (3, 32)
    assert capsys.readouterr().out == f"{path} is a study file: its base is taken\n"
    with pytest.raises(UserError, match=r"study\.yaml: base\.sead: no such field \(did you mean seed\?\)"):
        load_experiment_or_base(path, {"sead": 1})
    path.write_text("base: {plugins: [mine.py]}\n")
    with pytest.raises(UserError, match=r"study\.yaml: base\.plugins: .*mine\.py cannot be read"):
        load_experiment_or_base(path, {})
    path.write_text("base: 3\n")
    with pytest.raises(UserError, match=r"study\.yaml: base: must hold a mapping of fields to values, not 3"):
        load_experiment_or_base(path, {})

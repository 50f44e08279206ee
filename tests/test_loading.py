"""From a file and a command line to configuration; from a mistake to one message with the file, the field, what was
given and what is allowed."""

from pathlib import Path

import pytest

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
    with_values,
)


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

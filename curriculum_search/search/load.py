"""From a study file to a checked study."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum_search.experiment import Experiment
from curriculum_search.loading import PluginRunner, UserError, dotted, read_yaml, validated, with_trainer, with_values
from curriculum_search.search.checks import check_study
from curriculum_search.search.space import Distribution, Space
from curriculum_search.search.study import Study, StudyFile

_SECTIONS = ("study", "base", "space")


def load_study(
    path: str | Path, overrides: Mapping[str, Any] | None = None, runner: PluginRunner | None = None
) -> StudyFile:
    """Read and check a study file, with overrides by dotted path (``study.trials``, ``base.training.batch_size``).

    Args:
        path: the file.
        overrides: dotted path to value; None: none.
        runner: runs the plug-ins of the study and of what it starts from; None: one that runs whatever is named.

    Raises:
        UserError: one message that says what to change, and where.
    """
    file = read_study(path, overrides, runner)
    check_study(file)
    return file


def read_study(
    path: Path | str, overrides: Mapping[str, Any] | None = None, runner: PluginRunner | None = None
) -> StudyFile:
    """The same without the checks of what a study needs to be run, its data above all.

    Raises:
        UserError: one message that says what to change, and where.
    """
    path, overrides = Path(path), overrides or {}
    where = str(path)
    # A parameter of the space is one key with dots in it.
    parameters = {p: v for p, v in overrides.items() if p.startswith("space.")}
    raw = with_values(read_yaml(path), {p: v for p, v in overrides.items() if p not in parameters}, "command line")
    for section in raw:
        if section not in _SECTIONS:
            raise UserError(f"{where}: {section}: no such section; allowed: {', '.join(_SECTIONS)}")
    if raw.get("space") is None and isinstance(raw.get("study"), dict) and raw["study"].get("trials") == 0:
        raw["space"] = {}  # nothing is searched
    for section in _SECTIONS:
        if not isinstance(raw.get(section), dict):
            raise UserError(f"{where}: {section}: this section is required, and holds fields")
    for override, value in parameters.items():
        parameter, _, field_name = override.removeprefix("space.").rpartition(".")
        is_distribution = isinstance(value, dict) and "kind" in value  # else a field of one
        if isinstance(raw["space"].get(parameter), dict) and not is_distribution:
            raw["space"][parameter][field_name] = value
        else:
            raw["space"][override.removeprefix("space.")] = value
    raw["space"] = {parameter: value for parameter, value in raw["space"].items() if value is not None}
    return _joined(raw, path, runner or PluginRunner())


def study_of(study: Study, base: Experiment, space: Space) -> StudyFile:
    """A checked study of sections that are not read from a file.

    Raises:
        UserError: one message that says what to change, and where.
    """
    path = Path(f"study {study.name}")
    sections: dict[str, Any] = {"study": study.to_dict(), "base": base.to_dict()}
    sections["space"] = space.to_dict()["parameters"]
    for name, section in sections.items():
        try:
            json.dumps(section)
        except TypeError as error:
            raise UserError(f"{path}: {name}: must hold numbers, words, lists and mappings alone ({error})") from error
    file = _joined(sections, path, PluginRunner())
    check_study(file)
    return file


def _joined(raw: dict[str, Any], path: Path, runner: PluginRunner) -> StudyFile:
    """The study of three sections of plain values."""
    where = str(path)
    plugins = runner.run(raw["base"].get("plugins", ()), where, path.parent, field="base.plugins")
    raw["base"] = with_trainer(raw["base"], runner, where, path.parent, "base.trainer")
    if isinstance(raw["study"].get("proxy"), dict):
        raw["study"]["proxy"] = dotted(raw["study"]["proxy"])
    if isinstance(raw["study"].get("arms"), dict):
        raw["study"]["arms"] = {name: arm for name, arm in raw["study"]["arms"].items() if arm is not None}
    study = validated(Study, raw["study"], where, "study")
    proxy = f"{where}: study.proxy"
    return StudyFile(
        path=path,
        study=study,
        base=validated(Experiment, raw["base"], where, "base"),
        small=validated(Experiment, with_values(raw["base"], study.proxy, proxy), proxy),
        space=_space(raw["space"], where),
        raw_base=raw["base"],
        plugins=plugins,
        runner=runner,
    )


def _space(raw: Mapping[str, Any], where: str) -> Space:
    parameters = validated(dict[str, Distribution], raw, where, "space")
    try:
        return Space(parameters=parameters)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error

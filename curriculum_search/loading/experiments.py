"""From an experiment file to a checked experiment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum_search.experiment import Experiment
from curriculum_search.loading.errors import UserError, shown
from curriculum_search.loading.overrides import with_values
from curriculum_search.loading.plugins import PluginRunner
from curriculum_search.loading.trainers import with_trainer
from curriculum_search.loading.validation import validated
from curriculum_search.loading.yaml_text import read_yaml


def load_experiment(
    path: Path, overrides: Mapping[str, Any], runner: PluginRunner | None = None
) -> tuple[Experiment, dict[str, str]]:
    """Read and check an experiment file, with `overrides` by dotted path.

    Args:
        path: the file.
        overrides: dotted path to value.
        runner: runs the file's plug-ins; None: one that runs whatever the file names.

    Returns:
        The experiment, and the source texts of its plug-ins by their path beside the file.

    Raises:
        UserError: the file or an override is wrong.
    """
    return _experiment(read_yaml(path), path, overrides, runner)


def load_experiment_or_base(
    path: Path, overrides: Mapping[str, Any], runner: PluginRunner | None = None
) -> tuple[Experiment, dict[str, str]]:
    """As `load_experiment`; of a study file, which has a section ``base``, that section, and a line that says so."""
    raw = read_yaml(path)
    if "base" not in raw:
        return _experiment(raw, path, overrides, runner)
    if not isinstance(raw["base"], dict):
        raise UserError(f"{path}: base: must hold a mapping of fields to values, not {shown(raw['base'])}")
    print(f"{path} is a study file: its base is taken", flush=True)
    return _experiment(raw["base"], path, overrides, runner, section="base")


def _experiment(
    raw: Mapping[str, Any],
    path: Path,
    overrides: Mapping[str, Any],
    runner: PluginRunner | None,
    *,
    section: str = "",
) -> tuple[Experiment, dict[str, str]]:
    raw = with_values(raw, overrides, "command line")
    field = f"{section}.plugins".lstrip(".")
    runner = runner or PluginRunner()
    plugins = runner.run(raw.get("plugins", ()), str(path), path.parent, field=field)
    raw = with_trainer(raw, runner, str(path), path.parent, f"{section}.trainer".lstrip("."))
    return validated(Experiment, raw, str(path), section), plugins

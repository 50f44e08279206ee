"""From files and command lines to checked configuration, and from a user's mistake to one clear message."""

from curriculum_search.loading.errors import UserError
from curriculum_search.loading.experiments import load_experiment, load_experiment_or_base
from curriculum_search.loading.overrides import dotted, parse_overrides, with_values
from curriculum_search.loading.plugins import PluginRunner, define_plugins, read_plugins, write_plugins
from curriculum_search.loading.trainers import with_trainer
from curriculum_search.loading.validation import validated
from curriculum_search.loading.yaml_text import parse_value, read_yaml, to_yaml

__all__ = [
    "PluginRunner",
    "UserError",
    "define_plugins",
    "dotted",
    "load_experiment",
    "load_experiment_or_base",
    "parse_overrides",
    "parse_value",
    "read_plugins",
    "read_yaml",
    "to_yaml",
    "validated",
    "with_trainer",
    "with_values",
    "write_plugins",
]

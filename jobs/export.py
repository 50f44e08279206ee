"""Write the curriculum of an experiment for other people's training code: ``python jobs/export.py best.yaml
curriculum.json``.

Of a study file, as in search_spaces/, the curriculum of the base is written.
"""

import argparse
from pathlib import Path

from curriculum_search.entry import path_or_address, run_command


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "experiment", type=path_or_address, help="an experiment in YAML, such as a search's best.yaml, or a study file"
    )
    parser.add_argument("output", type=Path, help="the file to write")
    parser.add_argument("overrides", nargs="*", metavar="path=value", help="any field of the experiment")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse files that name plug-ins")
    arguments = parser.parse_intermixed_args()

    from curriculum_search.cli import cache_root
    from curriculum_search.export import write_curriculum
    from curriculum_search.loading import PluginRunner, UserError, load_experiment_or_base, parse_overrides
    from curriculum_search.storage import fetched

    experiment, _ = load_experiment_or_base(
        fetched(arguments.experiment, cache_root()),
        parse_overrides(arguments.overrides),
        PluginRunner(allowed=arguments.plugins),
    )
    try:
        path = write_curriculum(arguments.output, experiment, {"experiment": experiment.to_dict()})
    except OSError as error:
        raise UserError(f"{arguments.output}: cannot be written ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{arguments.experiment}: {error}") from error
    print(f"{path}: read it with curriculum_search.adapters (see docs/how-to/adapters.md)")


if __name__ == "__main__":
    run_command(main)

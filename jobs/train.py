"""Train one experiment: ``python jobs/train.py best.yaml [path=value ...]``.

Takes what a search exports as it is; of a study file, as in search_spaces/, the base is trained.  The same command
again goes on from the last checkpoint, and after the end it prints the result.  On a CPU a run with the same seed ends
at the same numbers, digit for digit.
"""

import argparse
import sys

from curriculum_search.entry import path_or_address, run_command


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "experiment", type=path_or_address, help="an experiment in YAML, such as a search's best.yaml, or a study file"
    )
    parser.add_argument("overrides", nargs="*", metavar="path=value", help="any field, as in training.batch_size=32")
    parser.add_argument("--results", help="folder for results, or s3://bucket/path (default: ./results)")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse files that name plug-ins")
    arguments = parser.parse_intermixed_args()

    from curriculum_search.cli import cache_root, results_root
    from curriculum_search.loading import PluginRunner, load_experiment_or_base, parse_overrides
    from curriculum_search.storage import fetched

    cache_dir = cache_root()
    experiment, plugins = load_experiment_or_base(
        fetched(arguments.experiment, cache_dir),
        parse_overrides(arguments.overrides),
        PluginRunner(allowed=arguments.plugins),
    )
    from curriculum_search.commands.train import train_single
    from curriculum_search.runs.job import Status

    result = train_single(
        experiment,
        plugins,
        where=str(arguments.experiment),
        root=results_root(arguments.results),
        cache_dir=cache_dir,
    )
    if result.status is not Status.FINISHED:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)

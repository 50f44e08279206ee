"""Measure how hard each noise level is: ``python jobs/difficulty.py experiment.yaml [path=value ...]``.

Trains one model for each interval of noise levels, estimates the relative entropy between neighbouring levels, and
writes difficulty.json, for ``partition: {kind: measured, path: ...}`` and ``order: {kind: measured, path: ...}``.
Of a study file, as in search_spaces/, the base is measured.  The same command again goes on where it was.
"""

import argparse

from curriculum_search.entry import path_or_address, run_command


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=path_or_address, help="an experiment or a study file in YAML")
    parser.add_argument("overrides", nargs="*", metavar="path=value", help="any field, as in process.prediction=v")
    parser.add_argument("--intervals", type=int, default=10, help="models, one for each interval (default: 10)")
    parser.add_argument("--results", help="folder for results, or s3://bucket/path (default: ./results)")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse files that name plug-ins")
    arguments = parser.parse_intermixed_args()

    from curriculum_search.cli import cache_root, results_root
    from curriculum_search.difficulty import ConvergenceStudy, EntropyStudy
    from curriculum_search.loading import PluginRunner, UserError, load_experiment_or_base, parse_overrides
    from curriculum_search.storage import fetched

    cache_dir = cache_root()
    experiment, plugins = load_experiment_or_base(
        fetched(arguments.experiment, cache_dir),
        parse_overrides(arguments.overrides),
        PluginRunner(allowed=arguments.plugins),
    )
    try:
        convergence = ConvergenceStudy(num_intervals=arguments.intervals)
    except ValueError as error:
        raise UserError(f"--intervals: {error}") from error
    from curriculum_search.commands.difficulty import measure_difficulty

    measure_difficulty(
        experiment,
        plugins,
        where=str(arguments.experiment),
        root=results_root(arguments.results),
        cache_dir=cache_dir,
        convergence=convergence,
        entropy=EntropyStudy(seed=experiment.seed),
    )


if __name__ == "__main__":
    run_command(main)

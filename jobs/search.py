"""Run a study: ``python jobs/search.py search_spaces/quickstart.yaml [path=value ...]``.

The same command again goes on where it was, and after the end it prints the result.  Any field of the file can be
overridden, as in ``study.trials=40`` or ``base.resources.workers=2``.  With ``--plan`` it only says what it would
train, how long that takes and what it costs beside the study's limits; for that it times a few training steps.
"""

import argparse
import sys

from curriculum_search.entry import path_or_address, run_command


def main() -> None:
    """Read the command line and run the study, or show its plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=path_or_address, help="a study file, as in search_spaces/")
    parser.add_argument("overrides", nargs="*", metavar="path=value", help="any field, as in study.trials=40")
    parser.add_argument("--results", help="folder for results, or s3://bucket/path (default: ./results)")
    parser.add_argument("--plan", action="store_true", help="show what would be trained, and train nothing")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse files that name plug-ins")
    arguments = parser.parse_intermixed_args()

    from curriculum_search.cli import cache_root, results_root
    from curriculum_search.loading import PluginRunner, parse_overrides
    from curriculum_search.search.load import load_study
    from curriculum_search.storage import fetched

    runner = PluginRunner(allowed=arguments.plugins)
    cache_dir = cache_root()
    file = load_study(fetched(arguments.study, cache_dir), parse_overrides(arguments.overrides), runner)
    root = results_root(arguments.results)
    if arguments.plan:
        from curriculum_search.search.plan import show_plan

        show_plan(file, root=root, cache_dir=cache_dir)
        return
    from curriculum_search.search.driver import run_study

    if run_study(file, root=root, cache_dir=cache_dir).failures:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)

"""Evaluate a trained run in full: ``python jobs/evaluate.py best.yaml [evaluation.path=value ...]``.

Takes an experiment file whose run has been trained, a run's folder, or its checkpoint.  Prints every metric as mean and
standard deviation over seed blocks, with the protocol in words, and logs them to MLflow.
"""

import argparse

from curriculum_search.entry import path_or_address, run_command


def main() -> None:
    """Read the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=path_or_address, help="a best.yaml, a run's folder or a checkpoint")
    parser.add_argument("overrides", nargs="*", metavar="path=value", help="as in evaluation.guidance_scale=1.5")
    parser.add_argument("--blocks", type=int, default=3, help="seed blocks (default: 3)")
    parser.add_argument("--results", help="folder for results, or s3://bucket/path (default: ./results)")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse files that name plug-ins")
    arguments = parser.parse_intermixed_args()

    from curriculum_search.cli import cache_root, results_root
    from curriculum_search.commands.evaluate import evaluate_trained, find_trained
    from curriculum_search.loading import PluginRunner, parse_overrides
    from curriculum_search.storage import fetched

    root, cache_dir = results_root(arguments.results), cache_root()
    runner = PluginRunner(allowed=arguments.plugins)
    run = find_trained(
        fetched(arguments.target, cache_dir), parse_overrides(arguments.overrides), root, cache_dir, runner
    )
    evaluate_trained(run, root=root, cache_dir=cache_dir, num_blocks=arguments.blocks)


if __name__ == "__main__":
    run_command(main)

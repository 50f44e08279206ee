"""Encode images once, to train on their latents: ``python jobs/encode.py experiment.yaml folder [path=value ...]``.

Takes an experiment or a study file whose data are images and whose encoder is an autoencoder, ``kind: vae``, and leaves
files in the folder that ``data: {kind: latents, path: folder}`` reads: mean and standard deviation of each latent,
labels, and how they came about.  Parts are encoded in parallel on Ray; the same command again goes on where it was.
"""

import argparse
from pathlib import Path

from curriculum_search.entry import run_command


def main() -> None:
    """Read the command line and encode."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="an experiment or a study file in YAML")
    parser.add_argument("folder", type=Path, help="where the latents go")
    parser.add_argument("overrides", nargs="*", metavar="path=value", help="any field, as in data.path=train.zip")
    parser.add_argument("--flip", action="store_true", help="encode the mirrored images too, in place of mirroring")
    parser.add_argument("--part", type=int, default=4096, help="images of one file (default: 4096)")
    parser.add_argument("--no-plugins", dest="plugins", action="store_false", help="refuse files that name plug-ins")
    arguments = parser.parse_intermixed_args()

    from curriculum_search.commands.encode import encode_images
    from curriculum_search.loading import PluginRunner, load_experiment_or_base, parse_overrides

    experiment, plugins = load_experiment_or_base(
        arguments.experiment, parse_overrides(arguments.overrides), PluginRunner(allowed=arguments.plugins)
    )
    encode_images(
        experiment,
        plugins,
        where=str(arguments.experiment),
        folder=arguments.folder,
        flip=arguments.flip,
        part_images=arguments.part,
    )


if __name__ == "__main__":
    run_command(main)

"""`python -m images [NAME...]`: build the images that changed, and say where they are."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from images import build
from images.clients import NoDebianSourceError
from images.node import load
from images.plan import BY_NAME, REPOSITORY, Choices, Image, UnknownImageError, in_order

UV = REPOSITORY / ".venv" / "tools" / "bin" / "uv"


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m images", description="Build the lab's container images that changed."
    )
    options.add_argument("names", nargs="*", metavar="NAME", help=f"only these, of: {', '.join(BY_NAME)}")
    options.add_argument(
        "--base", metavar="IMAGE", help="a registry's Debian 12, in place of one made with debootstrap"
    )
    options.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", help="a build argument, such as JAX=cuda"
    )
    options.add_argument("--push", metavar="REGISTRY", help="push them there, under their key and the lab's version")
    options.add_argument(
        "--load", action="store_true", help="bring them into the cluster of tools/onenode, when it is up"
    )
    options.add_argument(
        "--list", action="store_true", help="build nothing; print names, references and archives as JSON"
    )
    options.add_argument("--uv", type=Path, default=UV, help=argparse.SUPPRESS)
    return options


def main(words: Sequence[str]) -> int:
    """Do what `words` say; returns the exit status."""
    options = parser().parse_args(words)
    arguments = dict(pair.partition("=")[::2] for pair in options.arg)
    choices = Choices(options.base, arguments)
    try:
        images = in_order(options.names)
        unknown = set(arguments) - {name for image in images for name in image.arguments}
        if unknown:
            raise build.CannotBuildError(f"None of these images has a build argument {', '.join(sorted(unknown))}.")
        if options.list:
            chosen = [build.described(image, choices) for image in images]
            print(json.dumps([{**asdict(one), "archive": str(one.archive)} for one in chosen], indent=2))
            return 0
        build.ensure_programs(_say)
        if not options.uv.exists():
            raise build.CannotBuildError("uv is not there: `make env` brings it.")
        with build.Builder(choices, options.uv) as builder:
            for number, image in enumerate(images, 1):
                built = _one(builder, choices, image, f"{number}/{len(images)} {image.name}")
                if options.load:
                    _say(f"{built.name}: {load(built)}")
                if options.push:
                    _say(f"{built.name}: pushed {' and '.join(builder.push(built, options.push))}")
    except (UnknownImageError, NoDebianSourceError, build.CannotBuildError, build.BuildFailedError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _one(builder: build.Builder, choices: Choices, image: Image, place: str) -> build.Built:
    there = build.described(image, choices).archive.exists()
    if not there and sys.stderr.isatty():
        print(f"{place}: building, expected {image.seconds} s ...", end="\r", file=sys.stderr, flush=True)
    began = time.monotonic()
    built = builder.build(image)
    how = "unchanged" if there else f"built in {time.monotonic() - began:.0f} s (expected {image.seconds})"
    _say(f"{place}: {built.bytes / 1e6:.0f} MB, {how}, {built.reference}")
    return built


def _say(line: str) -> None:
    print(f"\033[K{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

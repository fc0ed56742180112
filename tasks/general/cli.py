"""The verbs of `redone-tasks` for general benchmarks: `mirror` and `lm-eval`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_verbs(verbs: Any) -> None:
    """Adds them to a command line.

    Args:
        verbs: The subparsers of `redone-tasks`.
    """
    v = verbs.add_parser(
        "mirror",
        help="write a mirror of general benchmarks",
        description="On a machine with internet access, writes the data sets of lm-eval's tasks "
        "into a folder, with a manifest, for machines that have none.",
    )
    v.add_argument("folder", metavar="DIR", help="created if missing; progress is saved")
    v.add_argument(
        "names", nargs="*", metavar="NAME", help="lm-eval's tasks (default: suite general)"
    )
    v.add_argument(
        "--manifest",
        action="store_true",
        help="download nothing: write the manifest of the files in DIR",
    )
    v.set_defaults(run=mirror)

    v = verbs.add_parser(
        "lm-eval",
        help="write our tasks as lm-eval tasks",
        description="Writes definitions of our tasks for lm-eval, and prints the folder: "
        'lm_eval run --include_path "$(redone-tasks lm-eval DIR)" --tasks sns-mini ...',
    )
    v.add_argument("folder", metavar="DIR", help="created if missing")
    v.add_argument(
        "--suite", metavar="NAMES", help="suites, comma separated (default: all of ours)"
    )
    v.set_defaults(run=lm_eval)


def mirror(options: argparse.Namespace) -> int:
    """Writes a mirror, or the manifest of one."""
    from ..sources import DataPaths
    from .mirroring import write_manifest, write_mirror

    folder = Path(options.folder).expanduser()
    if options.manifest:
        files = write_manifest(folder)
    else:
        include = DataPaths.resolve(create=True).include
        files = write_mirror(folder, options.names, include=include)
    print(f"{folder / 'mirror.toml'}: {files} files. Use it: --mirror {folder}")
    return 0


def lm_eval(options: argparse.Namespace) -> int:
    """Writes definitions for lm-eval."""
    from .export import write_definitions

    folder = Path(options.folder).expanduser()
    write_definitions(folder, options.suite)
    print(folder)
    return 0

"""`redone tasks`: lists, shows, checks and fetches tasks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Parser, console, run_command, visible
from .errors import MissingData, RedoneError, UnknownName

if TYPE_CHECKING:
    from .check import Report
    from .datasets import Dataset


def parser() -> Parser:
    """The command line; each verb's `run` does its work, given the parsed options."""
    p = Parser(prog="redone tasks", description="List, show, check and fetch tasks.")
    verbs = p.add_subparsers(dest="verb", metavar="VERB", required=True)
    data = Parser(add_help=False)
    data.add_argument(
        "--data-dir", metavar="DIR", help="data folder (default: $REDONE_DATA, else the user's own)"
    )

    v = verbs.add_parser("list", help="tasks and suites", description="Lists tasks and suites.")
    v.add_argument("--suite", metavar="NAMES", help="only these suites, comma separated")
    v.add_argument("--tasks", metavar="NAMES", help="only these tasks, globs or task files")
    v.add_argument("--json", action="store_true", help="as JSON")
    v.set_defaults(run=lambda o: list_tasks(o.suite, o.tasks, o.json))

    v = verbs.add_parser(
        "show",
        parents=[data],
        help="one task: prompt, gold answer, licence",
        description="Shows a task with one of its samples, whose text stays under its licence.",
    )
    v.add_argument("name", metavar="NAME", help="a task, or a task file")
    v.add_argument("--sample", type=int, default=0, metavar="N", help="the N-th sample, from 0")
    v.set_defaults(run=lambda o: show(o.name, o.data_dir, o.sample))

    v = verbs.add_parser(
        "check",
        parents=[data],
        help="check that tasks are scored correctly",
        description="Checks tasks on the data at hand: gold predictions score 100, empty answers "
        "0, no trivial baseline (random, constant, all candidates) exceeds the stored chance "
        "level, and parsers survive fuzzing.",
    )
    v.add_argument("names", nargs="*", metavar="NAME", help="tasks, suites, globs or task files")
    v.add_argument("--fuzz", type=_count, default=10_000, metavar="N", help="outputs per parser")
    v.add_argument("--seed", type=int, default=0, help="of random baselines and fuzzing")
    v.add_argument(
        "--write",
        action="store_true",
        help="measure chance levels, and store those that are unknown or wrong",
    )
    v.set_defaults(
        run=lambda o: check_tasks(o.names, o.data_dir, fuzz=o.fuzz, seed=o.seed, write=o.write)
    )

    v = verbs.add_parser(
        "new",
        help="write a first task file for a data file",
        description="Looks at the columns of a data file (CSV, TSV, JSON, JSON lines, Parquet), "
        "writes a task file beside it, and says what it guessed.",
    )
    v.add_argument("file", type=Path, metavar="FILE", help="rows with a text and its answer")
    v.add_argument("--name", metavar="NAME", help="of the task (default: FOLDER/FILE)")
    v.add_argument("--output", type=Path, metavar="FILE", help="default: FILE with suffix .toml")
    v.set_defaults(run=lambda o: new_task(o.file, o.name, o.output))

    v = verbs.add_parser(
        "overlap",
        parents=[data],
        help="training rows that repeat evaluation items",
        description="Searches a file of training rows (JSON lines) for evaluation items: exact "
        "copies, near copies, and copies inside longer rows. Exit code 1 if there are any.",
    )
    v.add_argument("train", type=Path, metavar="TRAIN", help="JSON lines: question, messages ...")
    v.add_argument("--suite", metavar="NAMES", help="suites, comma separated (default sns-mini)")
    v.add_argument("--tasks", metavar="NAMES", help="tasks or globs")
    v.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        metavar="SHARE",
        help="share of an item's n-grams that makes a near copy (default 0.8)",
    )
    v.add_argument("--output", type=Path, metavar="FILE", help="every overlap as JSON lines")
    v.set_defaults(
        run=lambda o: find_overlaps(
            o.train, o.suite, o.tasks, o.data_dir, threshold=o.threshold, output=o.output
        )
    )

    v = verbs.add_parser(
        "fetch",
        help="download published data",
        description="Downloads published data sets into the data folder. An interrupted download "
        "resumes where it stopped.",
    )
    v.add_argument("names", nargs="*", metavar="NAME", help="data sets, or suites that need them")
    v.add_argument("--data-dir", metavar="DIR", help="data folder; created if it does not exist")
    v.add_argument("--base-url", metavar="URL", help="a mirror: the URL of a copy of a data folder")
    v.add_argument("--list", action="store_true", help="list the data sets")
    v.add_argument("--yes", action="store_true", help="accept the licence without a prompt")
    v.set_defaults(
        run=lambda o: (
            list_datasets()
            if o.list
            else fetch_data(o.names, o.data_dir, base_url=o.base_url, accept=o.yes)
        )
    )

    v = verbs.add_parser(
        "mirror",
        help="write a mirror of general benchmarks",
        description="On a machine with internet access, writes the data sets of lm-eval's tasks "
        "into a folder, with a manifest, for machines that have none.",
    )
    v.add_argument("folder", type=Path, metavar="DIR", help="created if missing; progress is saved")
    v.add_argument(
        "names", nargs="*", metavar="NAME", help="lm-eval's tasks (default: suite general)"
    )
    v.add_argument(
        "--manifest",
        action="store_true",
        help="download nothing: write the manifest of the files in DIR",
    )
    v.set_defaults(run=lambda o: mirror(o.folder.expanduser(), o.names, o.manifest))

    v = verbs.add_parser(
        "lm-eval",
        help="write our tasks as lm-eval tasks",
        description="Writes definitions of our tasks for lm-eval, and prints the folder: "
        'lm_eval run --include_path "$(redone tasks lm-eval DIR)" --tasks sns-mini ...',
    )
    v.add_argument("folder", type=Path, metavar="DIR", help="created if missing")
    v.add_argument(
        "--suite", metavar="NAMES", help="suites, comma separated (default: all of ours)"
    )
    v.set_defaults(run=lambda o: export(o.folder.expanduser(), o.suite))
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    options = parser().parse_args(argv)
    return run_command("redone tasks", lambda: options.run(options))


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is less than 0")
    return number


def list_tasks(suite: str | None, names: str | None, as_json: bool) -> int:
    """Prints the tasks by category."""
    from . import listing

    for line in [listing.as_json(suite, names)] if as_json else listing.lines(suite, names):
        print(visible(line))
    return 0


def new_task(path: Path, name: str | None, output: Path | None) -> int:
    """Writes a first task file, and says what was guessed and what to do next."""
    from .task_file.draft import draft, write_draft

    found = draft(path, name)
    output = output or path.with_suffix(".toml")
    write_draft(path, output, found)
    print(f"{output} is written. Guessed:")
    for line in found.guesses:
        print(f"  {visible(line)}")
    print(f"Next: redone tasks check {output}")
    return 0


def show(name: str, data_dir: str | None, sample: int) -> int:
    """Prints one task with one of its samples."""
    from .listing import description
    from .registry import by_name, find
    from .sources import DataPaths
    from .task import is_source

    data = DataPaths.resolve(data_dir)
    for task in find(None, name, data) if is_source(name) else [by_name(name, data)]:
        for line in description(task, data, sample):
            print(line)
    return 0


def check_tasks(
    names: Sequence[str], data_dir: str | None, *, fuzz: int, seed: int, write: bool
) -> int:
    """Checks tasks, and prints why one fails."""
    from rich.console import Console

    from .check import check, measured_chance
    from .registry import TASKS, find
    from .sources import DataPaths
    from .task import LM_EVAL, store_chance

    data = DataPaths.resolve(data_dir)
    # Tasks of lm-eval are scored by its own code; benchmarks/ compares the results with lm-eval's.
    own = [task for task in TASKS.values() if task.requests is None]
    tasks = find(None, ",".join(names), data) if names else own
    if foreign := [task.name for task in tasks if task.name.startswith(LM_EVAL)]:
        raise RedoneError(f"{foreign[0]} is defined and scored by lm-eval: it is not checked here.")
    if write and (files := [task.name for task in tasks if task.name not in TASKS]):
        raise RedoneError(
            f"The chance level of {files[0]} is measured whenever its file is loaded: --write is "
            "for tasks of the table."
        )
    reports: list[Report] = []
    skipped: list[str] = []
    terminal = console()
    with Console(stderr=True, highlight=False).status("") as status:
        for task in tasks:
            status.update(f"{task.name} ({len(reports) + 1} of {len(tasks)})")
            try:
                reports.append(check(task, data.folder, fuzz=fuzz, seed=seed, measure=write))
            except MissingData as error:
                if names:
                    raise
                skipped.append(f"{task.name}: skipped. {error}")
    terminal.print(_results(reports))
    for report in reports:
        for kind, lines in (("FAILED", report.problems), ("note", report.notes)):
            for line in lines:
                terminal.print(f"{kind}: {report.task.name}: {visible(line)}", markup=False)
    for line in skipped:
        terminal.print(line, markup=False)
    if write:
        levels = {r.task.name: level for r in reports if (level := measured_chance(r))}
        store_chance(levels)
        for name, level in levels.items():
            terminal.print(f"stored: {name}: chance {level.metric:.2f} / {level.value:.2f}")
    failed = sum(bool(r.problems) for r in reports)
    terminal.print(f"{len(reports) - failed} of {len(reports)} tasks passed, {failed} failed.")
    return 1 if failed else 0


def _results(reports: Sequence[Report]):
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None)
    table.add_column("task", no_wrap=True)
    for name in ("items", "chance", "best trivial baseline", "which", "fuzzed", ""):
        table.add_column(name, justify="left" if name in ("which", "") else "right")
    for r in reports:
        best = max(r.baselines, key=lambda s: s.metric, default=None)
        chance = r.task.chance
        table.add_row(
            *(r.task.name, str(r.items)),
            f"{chance.metric:.2f} / {chance.value:.2f}" if chance.known else "unknown",
            f"{r.best[0]:.2f} / {r.best[1]:.2f}" if best else "",
            escape(visible(best.name)) if best else "",
            *(str(r.fuzzed), "[red]failed[/]" if r.problems else "[green]passed[/]"),
        )
    return table


def find_overlaps(
    train: Path,
    suite: str | None,
    names: str | None,
    data_dir: str | None,
    *,
    threshold: float,
    output: Path | None,
) -> int:
    """Counts overlaps by task and kind, and prints the rows."""
    import json
    from collections import Counter
    from dataclasses import asdict

    from .contamination import EvaluationTexts, overlaps, training_texts
    from .registry import find
    from .sources import DataPaths

    data = DataPaths.resolve(data_dir)
    tasks = find(suite, names, data)
    items = EvaluationTexts(tasks, data.folder)
    found = list(overlaps(training_texts(train), items, threshold))
    if output:
        output.write_text("".join(json.dumps(asdict(o)) + "\n" for o in found), "utf-8")
    for (task, kind), count in sorted(Counter((o.task, o.kind) for o in found).items()):
        rows = sorted({o.row for o in found if (o.task, o.kind) == (task, kind)})
        shown = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
        print(f"{task}: {count} {kind}, training rows {shown}")
    rows = len({o.row for o in found})
    print(f"{rows} training rows overlap evaluation items of {len(tasks)} tasks.")
    if items.short:
        print(
            f"{items.short} of {len(items)} items are very short: they are found only where they "
            "stand by themselves, as a row, a line or a quotation."
        )
    return 1 if found else 0


def list_datasets() -> int:
    """Prints the data sets that can be fetched."""
    from .datasets import datasets

    for each in datasets().values():
        print(f"{each.name}: {each.title}\n  {_size(each)}. Licence: {each.licence}")
    return 0


def fetch_data(
    names: Sequence[str], data_dir: str | None, *, base_url: str | None, accept: bool
) -> int:
    """Shows licences, asks, downloads."""
    from .datasets import datasets
    from .sources import data_folder

    if not names:
        list_datasets()
        raise RedoneError(f"Name a data set to fetch: {', '.join(datasets())}.")
    folder = data_folder(data_dir, create=True)
    for each in _needed(names):
        print(
            f"{each.title}\n  licence:  {each.licence}\n            {each.licence_url}\n"
            f"  citation: {each.citation}\n  {_size(each)} from {base_url or each.url}\n"
            f"  into {folder / each.name}"
        )
        if not accept and not _accepted():
            print("Not downloaded.")
            return 1
        _fetch(each, folder, base_url)
    return 0


def _size(dataset: Dataset) -> str:
    return f"{len(dataset.files)} files, {dataset.size / 1e6:.1f} MB"


def _needed(names: Sequence[str]) -> list[Dataset]:
    """The data sets of these names, or that these tasks, benchmarks and suites need.

    Raises:
        UnknownName: A name means nothing.
        IncompleteTask: A task's data set has no entry in the table.
    """
    from .datasets import datasets
    from .registry import BENCHMARKS, SUITES, TASKS, find

    known = datasets()
    needed: dict[str, Dataset] = {}
    for name in (n for text in names for n in text.split(",") if n):
        if name in known:
            needed[name] = known[name]
        elif name in SUITES or name in BENCHMARKS or name in TASKS:
            found = {task.dataset for task in find(None, name)} - {None}
            if not found:
                print(f"{name} needs no published data set.")
            needed |= {key: known[key] for key in known if key in found}
        else:
            raise UnknownName("data set", name, {*known, *SUITES})
    return list(needed.values())


def _accepted() -> bool:
    if not sys.stdin.isatty():
        raise RedoneError("There is no terminal to accept the licence at. --yes accepts it.")
    return input("Download under these terms? [y/N] ").strip().lower() in ("y", "yes")


def _fetch(dataset: Dataset, folder: Path, mirror: str | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from .fetch import fetch

    sizes: dict[str, int] = {}
    columns = ("[progress.description]{task.description}", BarColumn(), DownloadColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    with bar:
        whole = bar.add_task(dataset.name, total=dataset.size)

        def progress(path: str, size: int) -> None:
            sizes[path] = size
            bar.update(whole, completed=sum(sizes.values()), description=Path(path).name)

        done = fetch(dataset, folder, mirror=mirror, progress=progress)
    print(f"{dataset.name}: {len(done.downloaded)} downloaded, {len(done.present)} present before.")
    for note in done.notes:
        print(f"Note: {note}")


def mirror(folder: Path, names: Sequence[str], manifest_only: bool) -> int:
    """Writes a mirror of lm-eval's data sets, or the manifest of one."""
    from .general.mirroring import write_manifest, write_mirror
    from .sources import DataPaths

    if manifest_only:
        files = write_manifest(folder)
    else:
        files = write_mirror(folder, names, include=DataPaths.resolve(create=True).include)
    print(f"{folder / 'mirror.toml'}: {files} files. Use it: --mirror {folder}")
    return 0


def export(folder: Path, suite: str | None) -> int:
    """Writes definitions of our tasks for lm-eval."""
    from .general.export import write_definitions

    write_definitions(folder, suite)
    print(folder)
    return 0

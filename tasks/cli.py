"""`redone-tasks`: what there is, what it asks, that it judges rightly, and its data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Parser, console, run_command, visible
from .errors import RedoneError
from .general.commands import add_verbs
from .general.in_use import data_in_use

if TYPE_CHECKING:
    from .check import Report
    from .datasets import Dataset
    from .schema import Sample, Task


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="redone-tasks", description="The tasks: what there is, what they ask, and their data."
    )
    verbs = p.add_subparsers(dest="verb", metavar="VERB", required=True)
    data = Parser(add_help=False)
    data.add_argument(
        "--data-dir", metavar="DIR", help="data folder (default: $REDONE_DATA, else the user's own)"
    )

    v = verbs.add_parser("list", help="tasks and suites", description="Lists tasks and suites.")
    v.add_argument("--suite", metavar="NAMES", help="only these suites, comma separated")
    v.add_argument("--json", action="store_true", help="as JSON")
    v.set_defaults(run=list_tasks)

    v = verbs.add_parser(
        "show",
        parents=[data],
        help="one task: prompt, answer, licence",
        description="Shows a task with one of its samples, whose text stays under its licence.",
    )
    v.add_argument("name", metavar="NAME", help="a task")
    v.add_argument("--sample", type=int, default=0, metavar="N", help="the N-th sample, from 0")
    v.set_defaults(run=show)

    v = verbs.add_parser(
        "check",
        parents=[data],
        help="prove that tasks judge rightly",
        description="Proves tasks on the data at hand: a gold sheet scores 100, an empty one "
        "nothing, none without skill more than the stated chance level, and parsers survive fuzz.",
    )
    v.add_argument("names", nargs="*", metavar="NAME", help="tasks, suites or globs (default: all)")
    v.add_argument("--fuzz", type=_count, default=10_000, metavar="N", help="outputs per parser")
    v.add_argument("--seed", type=int, default=0, help="of random sheets and fuzz")
    v.set_defaults(run=check_tasks)

    v = verbs.add_parser(
        "overlap",
        parents=[data],
        help="training rows that repeat evaluation items",
        description="Looks for evaluation items, whole, nearly or inside, in a file of training "
        "rows (JSON lines). Exit code 1 if there are any.",
    )
    v.add_argument("train", type=Path, metavar="TRAIN", help="JSON lines: question, messages ...")
    v.add_argument("--suite", metavar="NAMES", help="suites, comma separated (default sns-mini)")
    v.add_argument("--tasks", metavar="NAMES", help="tasks or globs")
    v.add_argument("--threshold", type=float, default=0.8, metavar="SHARE", help="0.8 of n-grams")
    v.add_argument("--output", type=Path, metavar="FILE", help="every overlap as JSON lines")
    v.set_defaults(run=find_overlaps)

    v = verbs.add_parser(
        "fetch",
        help="download published data",
        description="Downloads published data sets into the data folder; goes on where it stopped.",
    )
    v.add_argument("names", nargs="*", metavar="NAME", help="data sets, or suites that need them")
    v.add_argument("--data-dir", metavar="DIR", help="data folder; made if it does not exist")
    v.add_argument("--base-url", metavar="URL", help="a mirror: the URL of a copy of a data folder")
    v.add_argument("--list", action="store_true", help="what there is to fetch")
    v.add_argument("--yes", action="store_true", help="accept the licence without being asked")
    v.set_defaults(run=fetch_data)
    add_verbs(verbs)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    options = parser().parse_args(argv)

    def body() -> int:
        with data_in_use(getattr(options, "data_dir", None)):
            return options.run(options)

    return run_command("redone-tasks", body)


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is less than 0")
    return number


def find_overlaps(options: argparse.Namespace) -> int:
    """Counts overlaps by task and kind, and names the rows."""
    import json
    from collections import Counter
    from dataclasses import asdict

    from .overlap import EvaluationTexts, overlaps, training_texts
    from .registry import find
    from .sources import data_folder

    tasks = find(options.suite, options.tasks)
    items = EvaluationTexts(tasks, data_folder(options.data_dir))
    found = list(overlaps(training_texts(options.train), items, options.threshold))
    if options.output:
        lines = "".join(json.dumps(asdict(o)) + "\n" for o in found)
        options.output.write_text(lines, "utf-8")
    for (task, kind), count in sorted(Counter((o.task, o.kind) for o in found).items()):
        rows = sorted({o.row for o in found if (o.task, o.kind) == (task, kind)})
        shown = ", ".join(map(str, rows[:8])) + (", ..." if len(rows) > 8 else "")
        print(f"{task}: {count} {kind}, training rows {shown}")
    rows = len({o.row for o in found})
    print(f"{rows} training rows overlap evaluation items of {len(tasks)} tasks.")
    if items.short:
        print(
            f"{items.short} of {len(items)} items are short: only exact copies of them are found."
        )
    return 1 if found else 0


def list_tasks(options: argparse.Namespace) -> int:
    """Tasks by category, with what their scores can be compared to."""
    from .listing import as_json, lines

    for line in [as_json(options.suite)] if options.json else lines(options.suite):
        print(visible(line))
    return 0


def show(options: argparse.Namespace) -> int:
    """One task with one sample, as a model would see it."""
    from itertools import islice

    from .datasets import dataset
    from .listing import data_of
    from .registry import by_name
    from .sources import data_folder, samples

    task = by_name(options.name)
    print(f"{task.name} (version {task.version}): {task.title}")
    metrics = {n: ", ".join(m.name for m in s.metrics) for n, s in task.scorings.items()}
    facts = {
        "category": task.category,
        "capability": task.capability,
        "language": task.language,
        **{f"metrics ({name})": names for name, names in metrics.items()},
        "needs": ", ".join(task.needs()) or "nothing",
        "chance": f"{task.chance.metric:.2f} (mean value {task.chance.value:.2f})",
        "reward": task.reward + (", held out of training" if task.held_out else ""),
        "limit": f"{task.settings.max_tokens} tokens, stop {list(task.settings.stop)}",
        "citation": task.citation,
    }
    if task.dataset:
        source = dataset(task.dataset)
        facts["data"] = f"{source.title}; {source.url}"
        facts["licence"] = f"{source.licence}, {source.licence_url}"
    else:
        facts["data"] = data_of(task)
    for name, fact in facts.items():
        print(f"  {name + ':':<22}{visible(fact)}")
    folder = data_folder(options.data_dir)
    if options.sample < 0:
        raise RedoneError(f"--sample {options.sample}: a number from 0 is expected.")
    sample = next(islice(samples(task, folder), options.sample, None), None)
    if sample is None:
        raise RedoneError(f"{task.name} has no sample {options.sample}: there are fewer.")
    _show_sample(task, sample, folder)
    return 0


def _show_sample(task: Task, sample: Sample, folder: Path) -> None:
    from .prompts import messages, prompt_for, prompt_hash
    from .sources import data_hash, samples

    tags = "".join(f", {name} {value}" for name, value in sample.tags.items())
    print(f"  {'prompt:':<22}{prompt_hash(task)}")
    print(f"  {'samples:':<22}{data_hash(s.id for s in samples(task, folder))}")
    print(f"\nsample {sample.id}: cluster {sample.cluster}, {sample.partition}{visible(tags)}")
    prompt = prompt_for(task, sample.language, {})
    asked = [list(messages(prompt, sample.fields))]
    if task.requests is not None:
        asked = []
        for request in task.requests(sample, prompt):
            text = request.prompt
            each = [{"role": request.kind, "content": text}] if isinstance(text, str) else [*text]
            asked += [each] if each not in asked else []
    for message in (message for each in asked for message in each):
        print(f"--- {message['role']}\n{visible(message['content'])}")
    print(f"--- gold\n{visible(task.gold(sample))}")


def check_tasks(options: argparse.Namespace) -> int:
    """Proves tasks, and says of each why if it fails."""
    from rich.console import Console

    from .check import check
    from .errors import MissingData
    from .registry import TASKS, find
    from .sources import data_folder

    # What lm-eval defines is judged by lm-eval's own code; benchmarks/ proves that it is the same.
    own = [task for task in TASKS.values() if task.requests is None]
    tasks = find(None, ",".join(options.names)) if options.names else own
    if foreign := [task.name for task in tasks if task.requests is not None]:
        raise RedoneError(
            f"{foreign[0]} is defined and judged by lm-eval: there is nothing of ours to prove."
        )
    folder = data_folder(options.data_dir)
    reports: list[Report] = []
    left_out: list[str] = []
    terminal = console()
    with Console(stderr=True, highlight=False).status("") as status:
        for task in tasks:
            status.update(f"{task.name} ({len(reports) + 1} of {len(tasks)})")
            try:
                reports.append(check(task, folder, fuzz=options.fuzz, seed=options.seed))
            except MissingData as error:
                if options.names:
                    raise
                left_out.append(f"{task.name}: left out. {error}")
    terminal.print(_proofs(reports))
    for report in reports:
        for kind, lines in (("FAILED", report.problems), ("note", report.notes)):
            for line in lines:
                terminal.print(f"{kind}: {report.task.name}: {visible(line)}", markup=False)
    for line in left_out:
        terminal.print(line, markup=False)
    failed = sum(bool(r.problems) for r in reports)
    terminal.print(f"{len(reports) - failed} of {len(reports)} tasks proved, {failed} failed.")
    return 1 if failed else 0


def _proofs(reports: Sequence[Report]):
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None)
    table.add_column("task", no_wrap=True)
    for name in ("items", "chance", "best without skill"):
        table.add_column(name, justify="right")
    table.add_column("it is")
    table.add_column("fuzzed", justify="right")
    table.add_column("")
    for r in reports:
        best = max(r.sheets, key=lambda s: s.metric, default=None)
        table.add_row(
            *(r.task.name, str(r.items)),
            f"{r.task.chance.metric:.2f} / {r.task.chance.value:.2f}",
            f"{r.best[0]:.2f} / {r.best[1]:.2f}" if best else "",
            escape(visible(best.name)) if best else "",
            *(str(r.fuzzed), "[red]failed[/]" if r.problems else "[green]proved[/]"),
        )
    return table


def fetch_data(options: argparse.Namespace) -> int:
    """Shows licences, asks, downloads."""
    from .datasets import datasets

    if options.list or not options.names:
        for each in datasets().values():
            print(f"{each.name}: {each.title}\n  {_size(each)}. Licence: {each.licence}")
        if not options.list:
            raise RedoneError(f"Name a data set to fetch: {', '.join(datasets())}.")
        return 0
    from .sources import data_folder

    folder = data_folder(options.data_dir, create=True)
    for each in _wanted(options.names):
        print(
            f"{each.title}\n  licence:  {each.licence}\n            {each.licence_url}\n"
            f"  citation: {each.citation}\n  {_size(each)} from {options.base_url or each.url}\n"
            f"  into {folder / each.name}"
        )
        if not options.yes and not _agreed():
            print("Not downloaded.")
            return 1
        _fetch(each, folder, options.base_url)
    return 0


def _size(dataset: Dataset) -> str:
    return f"{len(dataset.files)} files, {dataset.size / 1e6:.1f} MB"


def _wanted(names: Sequence[str]) -> list[Dataset]:
    from .datasets import datasets
    from .errors import UnknownName
    from .registry import BENCHMARKS, SUITES, find

    known = datasets()
    wanted: dict[str, Dataset] = {}
    for name in (n for text in names for n in text.split(",") if n):
        if name in known:
            wanted[name] = known[name]
        elif name in SUITES or name in BENCHMARKS:
            wanted |= {t.dataset: known[t.dataset] for t in find(None, name) if t.dataset}
        else:
            raise UnknownName("data set", name, {*known, *SUITES})
    return list(wanted.values())


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise RedoneError("Nobody is here to accept the licence. --yes accepts it.")
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
    print(f"{dataset.name}: {len(done.downloaded)} downloaded, {len(done.present)} were there.")
    for note in done.notes:
        print(f"Note: {note}")

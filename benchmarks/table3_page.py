"""Table 3 as Markdown: the table in the paper's form, claims, tasks, costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from table3_figures import named

from redone.reports.markdown import markdown_table

ROLES = ("corrected", "official")


def markdown(record: Mapping[str, Any], picture: str | None) -> str:
    """The page of a record, whole or of what there is so far.

    Args:
        record: As table3.json.
        picture: Where the seesaw lies, seen from the page; None: it is not drawn.
    """
    plan = record["plan"]
    done, planned = len(record["costs"]), sum(len(row["seeds"]) for row in plan["rows"])
    made = "; ".join(dict.fromkeys(map(_machine, machines(record))))
    parts = [f"# {plan['title']}", f"{done} of {planned} pipelines. Made on: {made}."]
    if "machines" in record:
        parts += [
            "Pooled from records whose runs are not in one place (`table3_pooled.py`): the part of "
            "the items in an interval of several of them is a bound, and hours are those of each "
            "machine with the pipelines that it had side by side."
        ]
    parts += [_main(record)]
    parts += [f"![The seesaw, first seed of each]({picture})"] if picture else []
    parts += [_claims(record["claims"]), _by_seed(record), *_tasks(record), *_labels(record)]
    parts += [_flips(record), _budgets(record["recipes"]), _costs(record["costs"])]
    parts += _gates(record["costs"])
    parts += [_beside(name, runs) for name, runs in record["beside"].items() if runs]
    return "\n\n".join(parts) + "\n"


def machines(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Where it was made; several if it is pooled."""
    return record.get("machines") or [record["machine"] | {"jobs": record["jobs"]}]


def _machine(found: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['processor']}, {found['threads']} threads, {found['jobs']} pipelines side by "
        f"side, {versions}"
    )


def _table(head: Sequence[str], right: int, rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(markdown_table(head, right, rows)[1:])


def _titles(record: Mapping[str, Any]) -> dict[str, str]:
    """Those of the rows that there are, in the plan's order."""
    titles = {"base": "Base"} | {row["recipe"]: row["title"] for row in record["plan"]["rows"]}
    return {name: title for name, title in titles.items() if name in record["rows"]}


def _seeds(name: str, row: Mapping[str, Any]) -> str:
    return "" if name == "base" else str(row["seeds"])


def _cell(found: Mapping[str, Any]) -> str:
    gain = found["difference"]
    if gain is None:
        return f"{found['score']:.1f}"
    return f"{found['score']:.1f} ({_signed(gain)})"


def _signed(gain: Mapping[str, Any]) -> str:
    return f"{gain['points']:+.1f}, {gain['low']:+.1f} to {gain['high']:+.1f}"


def _scores(record: Mapping[str, Any], role: str, columns: Sequence[str]) -> str:
    rows = record["rows"]
    lines = [
        [title, _seeds(name, rows[name]), *(_cell(rows[name][role][c]) for c in columns)]
        for name, title in _titles(record).items()
    ]
    if role == "corrected":
        none = [record["without_skill"][column] for column in columns]
        lines += [["Without skill", "", *("" if n is None else f"{n:.1f}" for n in none)]]
    return _table(["pipeline", "seeds", *columns], 1, lines)


def _main(record: Mapping[str, Any]) -> str:
    others = "".join(
        f" {title} is their {metric}." for title, metric in record["metrics"].items() if metric
    )
    return (
        "Means over tasks, in points, `corrected`; in brackets the difference to the base with "
        "its 95 % interval, over items and seeds. **With one seed it is over items alone**, so it "
        "says nothing of another training. With two or three the spread of trainings is known only "
        "roughly, and an interval can be much too wide or somewhat too short. *Without skill* is "
        "what the best trivial baseline (constant, random, all candidates) reaches on the whole "
        f"data, not on these items alone.{others}\n\n"
        + _scores(record, "corrected", list(record["columns"]))
    )


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    return "## Claims\n\n" + _table(
        ["claim", "seeds", "difference", "verdict"],
        1,
        ([c["claim"], str(c["seeds"]), _signed(c), f"**{c['verdict']}**"] for c in claims),
    )


def _by_seed(record: Mapping[str, Any]) -> str:
    rows, columns = record["rows"], list(record["columns"])
    return "## Each seed\n\n" + _table(
        ["pipeline", *columns],
        1,
        (
            [f"{title}, {seed}", *(f"{rows[n]['corrected'][c]['scores'][at]:.1f}" for c in columns)]
            for n, title in _titles(record).items()
            for at, seed in enumerate(_numbers(n, record["costs"]))
        ),
    )


def _numbers(recipe: str, pipelines: Iterable[str]) -> list[str]:
    """The seeds of a row, in the order of its models."""
    parted = (name.rpartition("-") for name in pipelines)
    return [seed for name, _, seed in parted if name == recipe]


def _tasks(record: Mapping[str, Any]) -> Iterable[str]:
    for role in ROLES:
        yield f"## Tasks, {role}"
        for title, tasks in record["columns"].items():
            columns = [named(task, record["metrics"][title]) for task in tasks]
            yield f"{title}:\n\n{_scores(record, role, columns)}"


def _labels(record: Mapping[str, Any]) -> Iterable[str]:
    rows = record["rows"]
    tasks = list(rows["base"]["labels"][0])
    if tasks:
        yield "## Labels read out of the answers, first seed\n\n" + _table(
            ["pipeline", *tasks],
            len(tasks) + 1,
            (
                [title, *(_told(rows[name]["labels"][0][task]) for task in tasks)]
                for name, title in _titles(record).items()
            ),
        )


def _told(labels: Mapping[str, int]) -> str:
    return ", ".join(f"{label} {count}" for label, count in labels.items())


def _flips(record: Mapping[str, Any]) -> str:
    rows = record["rows"]
    tasks = list(rows["base"]["flips"])
    return "## Answers fixed and broken, first seed\n\n" + _table(
        ["pipeline", *tasks],
        1,
        (
            [title, *(_moved(rows[name]["flips"][task]) for task in tasks)]
            for name, title in _titles(record).items()
            if name != "base"
        ),
    )


def _moved(flips: Mapping[str, int]) -> str:
    return f"+{flips['fixed']} -{flips['broken']}"


def _budgets(recipes: Mapping[str, Mapping[str, int | None]]) -> str:
    return "## Budgets: processed tokens\n\n" + _table(
        ["recipe", "stages"],
        2,
        (
            [name, "; ".join(f"{stage}: {tokens or 0:,}" for stage, tokens in stages.items())]
            for name, stages in recipes.items()
        ),
    )


def _costs(costs: Mapping[str, Mapping[str, Any]]) -> str:
    return "## Costs\n\n" + _table(
        ["pipeline", "hours", "processed tokens", "tokens of choosing", "steps", "gates"],
        1,
        (
            [
                name,
                f"{cost['seconds'] / 3600:.2f}",
                f"{cost['tokens']:,}",
                f"{sum(stage['tokens_of_choosing'] for stage in cost['stages'].values()):,}",
                "; ".join(f"{stage}: {of['steps']}" for stage, of in cost["stages"].items()),
                "; ".join(f"{stage}: {outcome}" for stage, outcome in cost["gates"].items()),
            ]
            for name, cost in costs.items()
        ),
    )


def _gates(costs: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    """Of the pipelines whose record has it."""
    rows = [
        [name, stage, row["beside"], row["name"], _signed(row | {"points": row["difference"]}),
         f"{row['level']:.3g} %"]
        for name, cost in costs.items()
        for stage, decided in cost.get("decided", {}).items()
        for row in decided
    ]  # fmt: skip
    if rows:
        yield (
            "## At the gates\n\nWhat each decided by, on `gate` items, with the interval of the "
            "level that it decided at.\n\n"
            + _table(["pipeline", "stage", "beside", "of", "difference", "level"], 2, rows)
        )


def _beside(name: str, runs: Mapping[str, Mapping[str, Any]]) -> str:
    tasks = list(dict.fromkeys(task for run in runs.values() for task in run))
    return f"## Beside: {name}\n\n" + _table(
        ["model", *tasks],
        1,
        (
            [model, *(_interval(run[task]["corrected"]) if task in run else "" for task in tasks)]
            for model, run in runs.items()
        ),
    )


def _interval(found: Mapping[str, Any]) -> str:
    if found["low"] is None:  # too few items for one
        return f"{found['score']:.1f}"
    return f"{found['score']:.1f} ({found['low']:.1f} to {found['high']:.1f})"

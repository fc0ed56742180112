"""Do the printed figures follow from one another? Averages, headline differences, repetitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..harness.published.paper import Paper, mean
from ..tasks.registry import BENCHMARKS
from .rows import AGREES


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was computed again.

    Attributes:
        holds: Whether it came out as printed.
        expected: False: a known flaw of the print, shown with both figures and no failure of ours.
        text: For people.
    """

    holds: bool
    text: str
    expected: bool = True


def findings(paper: Paper) -> list[Finding]:
    """Everything about a paper that can be made again from its own figures."""
    return [*_averages(paper), *_claims(paper), *_repeated(paper)]


def _averages(paper: Paper) -> Iterator[Finding]:
    """Every printed average of a benchmark against the mean of its categories."""
    right, wrong = 0, []
    for model in paper.rows:
        figures, averages = paper.figures(model), paper.averages(model)
        for key in averages.keys() & BENCHMARKS.keys():
            again = mean([figures[f"{key}/{c}"] for c in BENCHMARKS[key].categories])
            if abs(again - averages[key]) <= AGREES:
                right += 1
                continue
            wrong.append(
                f"{model}, {BENCHMARKS[key].title}: {averages[key]:.2f} printed, {again:.2f} from "
                "its own row; both are shown"
            )
    if right:
        yield Finding(
            True, f"{right} of {right + len(wrong)} printed averages follow from their rows"
        )
    yield from (Finding(False, text, expected=False) for text in wrong)


def _claims(paper: Paper) -> Iterator[Finding]:
    """The differences that the text names, from the averages as printed."""
    for claim in paper.claims:
        one, two = (mean([*paper.averages(m).values()]) for m in (claim.model, claim.over))
        difference = one - two
        yield Finding(
            round(difference, 2) == claim.points,
            f"{claim.model} over {claim.over}: {one:.2f} less {two:.2f} is {difference:+.2f}; "
            f"{claim.points:+.2f} claimed",
        )


def _repeated(paper: Paper) -> Iterator[Finding]:
    """Figures that another table prints again."""
    for table in paper.tables:
        same, differ = 0, []
        for row in table.rows:
            known = {**paper.figures(row.same), **paper.averages(row.same)} if row.same else {}
            for name in row.figures.keys() & known.keys():
                if row.figures[name] == known[name]:
                    same += 1
                else:
                    differ.append(f"{row.name} {name} {row.figures[name]:g}, not {known[name]:g}")
        if same or differ:
            text = f"{table.number} repeats {same + len(differ)} figures of the first table"
            yield Finding(not differ, f"{text}: {'; '.join(differ) or 'all the same'}")

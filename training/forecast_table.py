"""The forecast, printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .forecast import Line
from .progress import spelled


def show(lines: Sequence[Line], folder: Path) -> None:
    """Prints a line a step, and the sums."""
    print(f"{'step':32}{'':16}{'tokens':>12}{'time':>10}{'disk':>10}")
    for line in lines:
        if line.cost is None:
            print(f"{line.step.name:32}done")
            continue
        cost = line.cost
        tokens = f"{cost.tokens:,.0f}" if cost.tokens else ""
        time = spelled(cost.seconds) if cost.seconds else ""
        disk = sized(cost.bytes) if cost.bytes else ""
        print(f"{line.step.name:32}{line.about:16}{tokens:>12}{time:>10}{disk:>10}".rstrip())
    costs = [line.cost for line in lines if line.cost]
    print(
        f"{'to do in ' + str(folder):48}{sum(c.tokens for c in costs):>12,.0f}"
        f"{spelled(sum(c.seconds for c in costs)):>10}{sized(sum(c.bytes for c in costs)):>10}"
    )
    print(
        "From a measured warm-up of this machine: RL with few prompts, scaled up; answers as long "
        "as the base model's. Loading, judging and the report are not in it."
    )


def sized(count: float) -> str:
    """`12 MB`, `3.4 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"

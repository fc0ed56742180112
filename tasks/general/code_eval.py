"""What stands in for the `code_eval` metric that lm-eval's code tasks load: our sandbox.

The original is fetched from the hub when a task module is imported, and runs what a model wrote in
processes of this user. lm-eval's tasks see the same interface here (Chen et al. 2021, "Evaluating
Large Language Models Trained on Code", arXiv:2107.03374); programs run in the sandbox that the
caller brings, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from ..schema import Sandbox

SECONDS = 3.0
"""Time of a program, as in the original."""

_SANDBOX: ContextVar[Sandbox | None] = ContextVar("sandbox", default=None)


@contextmanager
def judging_in(sandbox: Sandbox) -> Iterator[None]:
    """Programs are run in this sandbox."""
    token = _SANDBOX.set(sandbox)
    try:
        yield
    finally:
        _SANDBOX.reset(token)


class CodeEval:
    """The interface of `evaluate.load("code_eval")`."""

    def compute(
        self,
        references: Sequence[str],
        predictions: Sequence[Sequence[str]],
        k: Sequence[int] = (1, 10, 100),
        **_: object,
    ) -> tuple[dict[str, float], dict[int, list]]:
        """pass@k over problems.

        Args:
            references: The tests of each problem.
            predictions: Its candidate programs.
            k: Of pass@k; left out where a problem has fewer candidates.

        Returns:
            The figures by name, and an empty mapping in place of the original's logs. Without a
            sandbox nothing is run and nothing passes: task modules try the metric when they are
            imported.
        """
        sandbox = _SANDBOX.get()
        counts = [
            (len(programs), sum(_passes(sandbox, program, tests) for program in programs))
            for programs, tests in zip(predictions, references, strict=True)
        ]
        figures = {
            f"pass@{n}": math.fsum(_pass_at(n, total, right) for total, right in counts)
            / len(counts)
            for n in k
            if counts and all(total >= n for total, _ in counts)
        }
        return figures, {}


def _passes(sandbox: Sandbox | None, program: str, tests: str) -> bool:
    return sandbox is not None and sandbox.run(program, tests, seconds=SECONDS).passed


def _pass_at(k: int, total: int, right: int) -> float:
    """The unbiased estimate that one of k candidates is right, given `right` of `total`."""
    if total - right < k:
        return 1.0
    return 1.0 - math.comb(total - right, k) / math.comb(total, k)

"""Questions cut into pieces for several workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import count, islice

from ...tasks.schema import Request

Piece = dict[int, Request]
"""Questions by their number in the run."""

WINDOW = 4096
"""Questions looked at together: enough to put those side by side that begin alike."""
LEAST = 8
"""Questions in a piece, where there are as many: fewer would not fill a batch."""
PARTS = 4
"""A piece is this part of a worker's share of what is left."""


class Pieces:
    """Hands questions out in pieces that shrink towards the end, and takes back what was not done.

    Early pieces are large, so that questions with the same beginning (a task's instruction) meet
    in one worker; the last ones are small, so that all workers end together (guided
    self-scheduling, Polychronopoulos and Kuck 1987). Long answers go first.

    Args:
        requests: Pulled lazily, a window at a time.
        workers: How many share them.
    """

    def __init__(self, requests: Iterable[Request], workers: int) -> None:
        self._source = iter(requests)
        self._numbers = count()
        self._workers = workers
        self._window: deque[tuple[int, Request]] = deque()
        self._returned: deque[Piece] = deque()

    @property
    def left(self) -> bool:
        """Whether there is a piece to take."""
        if not self._window:
            found = sorted(islice(self._source, max(WINDOW, 64 * self._workers)), key=_order)
            self._window.extend((next(self._numbers), request) for request in found)
        return bool(self._window or self._returned)

    def take(self) -> Piece:
        """The next piece, if any are left."""
        if self.left and self._window:
            size = max(LEAST, len(self._window) // (PARTS * self._workers))
            return dict(self._window.popleft() for _ in range(min(size, len(self._window))))
        return self._returned.popleft()

    def give_back(self, piece: Piece) -> None:
        """Questions whose worker died before it answered.

        They come last, and in halves: a question that kills every worker (one that needs too much
        memory) is soon alone, after all others are answered.
        """
        numbers = list(piece)
        half = (len(numbers) + 1) // 2
        for part in (numbers[:half], numbers[half:]):
            if part:
                self._returned.append({number: piece[number] for number in part})


def _order(request: Request) -> tuple[int, str, str]:
    settings, prompt = request.settings, request.prompt
    text = prompt if isinstance(prompt, str) else "\n".join(m["content"] for m in prompt)
    return -(settings.max_tokens + settings.max_thinking_tokens), request.kind, text

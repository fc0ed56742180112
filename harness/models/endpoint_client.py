"""HTTP to a server that may be slow, overloaded, broken or gone.

What may go better next time is tried again; what will not ends the run at once with the way out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any, TypeVar

from ...tasks.errors import RedoneError
from .endpoint_options import EndpointOptions
from .endpoint_pace import Pace, SignsOfLife, back_off
from .endpoint_wire import Unusable

T = TypeVar("T")

LARGEST = 1 << 26
"""Bytes of an answer; more is no answer."""
LONGEST_PAUSE = 30.0
"""Seconds between two attempts, unless the server asks for more."""
SILENCE_COUNTS = 4
"""A deadline that passed costs as many tries as this: waiting for it took long enough."""
TELL_EVERY = 60.0

AGAIN = {408, 409, 421, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 598, 599}
OVERLOADED = {429, 503, 529}
FILTERED = {"content_filter", "content_policy_violation", "data_inspection_failed"}
"""Error codes of providers that refuse to answer a prompt because of what it says."""

_log = logging.getLogger("redone.endpoint")


class Filtered(Exception):
    """The provider does not let this prompt be answered."""


class Unanswerable(Exception):
    """A request failed again and again while others were answered; the text says how at last."""


class Refused(RedoneError):
    """The server's answer to a request that no repetition will make better.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Trouble(Exception):
    """An attempt that failed and may go better.

    Attributes:
        slow_down: Whether the server may have had too much to do.
        wait: Seconds that it asks to wait.
        tries: How many tries this one counts for.
    """

    def __init__(
        self, reason: str, *, slow_down: bool = False, wait: float = 0.0, tries: int = 1
    ) -> None:
        super().__init__(reason)
        self.slow_down, self.wait, self.tries = slow_down, wait, tries


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body.

        Raises:
            Unusable: It is not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unusable("an answer that is not JSON") from None


class Client:
    """Asks one server; all its coroutines run in one event loop.

    Args:
        url: With its `/v1`, without a slash at the end.
        key: Sent as a bearer token, and found in no message.
        options: Concurrency, deadlines, patience.
    """

    def __init__(self, url: str, key: str | None, options: EndpointOptions) -> None:
        import httpx

        self.url, self._key, self._options = url, key, options
        self._pace = Pace(options.concurrency)
        self._signs = SignsOfLife(url, options.patience)
        self._told = -math.inf
        # Redirects are not followed: the key goes to nobody but this server.
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(None, connect=min(10.0, options.timeout)),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=options.concurrency
            ),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(
        self, path: str, body: Mapping[str, Any] | None, read: Callable[[Reply, float], T]
    ) -> T:
        """Asks until there is an answer.

        Args:
            path: Below the URL.
            body: Posted as JSON; None: a GET.
            read: Reads the answer, given the seconds that it took; raises `Unusable`.

        Raises:
            Filtered: The provider does not let this prompt be answered.
            Unanswerable: It failed too often while other requests were answered.
            Refused: The server will never answer this.
            ServerGone: No usable answer to any request for too long.
        """
        options, failures, tries, failed_at = self._options, 0, 0, math.inf
        while True:
            async with self._pace.turn() as sent:
                try:
                    reply = await self.send(f"{self.url}{path}", body)
                    self._judge(reply)
                    answer = read(reply, monotonic() - sent)
                except (Trouble, Unusable) as error:
                    trouble = error if isinstance(error, Trouble) else Trouble(str(error))
                    if trouble.slow_down:
                        self._pace.slower(sent, trouble.wait)
                else:
                    self._pace.faster()
                    self._signs.answered()
                    return answer
            # Tries count only while the server answers others: a restart must not use them up.
            tries += trouble.tries if self._signs.last_answer > failed_at else 0
            failures, failed_at = failures + 1, monotonic()
            if tries >= options.tries:
                raise Unanswerable(str(trouble))
            self._tell(str(trouble), self._signs.failed(str(trouble), trouble.wait))
            await asyncio.sleep(back_off(failures, options.back_off, LONGEST_PAUSE))

    async def send(self, url: str, body: Mapping[str, Any] | None = None) -> Reply:
        """One attempt: a POST of the body, a GET without one.

        Raises:
            Trouble: Nothing whole came back before the deadline.
        """
        import httpx

        method = "GET" if body is None else "POST"
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else None
        try:
            async with (
                asyncio.timeout(self._options.timeout),
                self._http.stream(method, url, content=content, headers=headers) as response,
            ):
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > LARGEST:
                        raise Trouble("an answer without end")
                return Reply(response.status_code, response.headers, b"".join(parts))
        except TimeoutError:
            reason = f"no answer within {self._options.timeout:g} s"
            raise Trouble(reason, slow_down=True, tries=SILENCE_COUNTS) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise Trouble(self._clean(str(error)) or type(error).__name__) from None

    def _error_of(self, reply: Reply) -> tuple[str, str]:
        """Code and message of an error, as far as the server tells: one clean line each."""
        try:
            told = reply.json()
        except Unusable:
            return "", ""
        told = told.get("error", told) if isinstance(told, Mapping) else told
        if not isinstance(told, Mapping):
            return "", self._clean(str(told))
        message = told.get("message") or told.get("detail") or ""
        return str(told.get("code") or told.get("type") or ""), self._clean(str(message))

    def _judge(self, reply: Reply) -> None:
        """Returns if the reply may hold an answer."""
        status = reply.status
        if status == 200:
            return
        code, message = self._error_of(reply)
        told = f"HTTP {status}" + (f": {message}" if message else "")
        if code == "insufficient_quota":
            raise Refused(status, f"{self.url} says that the account has no quota left ({told}).")
        if code.lower() in FILTERED or code == "DataInspectionFailed":
            raise Filtered(told)
        if status in AGAIN:
            if status in OVERLOADED:  # no fault of the request: it may wait as long as others do
                raise Trouble(told, slow_down=True, wait=retry_after(reply.headers), tries=0)
            raise Trouble(told)
        raise refusal(self.url, status, message, bool(self._key), reply.headers)

    def _clean(self, text: str) -> str:
        """A server's words on one line, without the key or control characters."""
        text = text.replace(self._key, "***") if self._key else text
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line[:300]

    def _tell(self, reason: str, seconds: float) -> None:
        """Says once a minute that nothing comes, and why."""
        now = monotonic()
        if seconds >= min(TELL_EVERY, self._options.patience) / 4 and now - self._told > TELL_EVERY:
            self._told = now
            _log.warning(
                "No answer from %s for %.0f s (%s). Trying for %.0f s in all.",
                self.url, seconds, reason, self._options.patience,
            )  # fmt: skip


def refusal(
    url: str, status: int, message: str, with_key: bool, headers: Mapping[str, str]
) -> Refused:
    """The error for a status that no repetition will make better, with the way out."""
    told = f" The server says: {message.rstrip('.')}." if message else ""
    match status:
        # A server's words about a key may hold part of it: they are not repeated.
        case 401 | 403 if with_key:
            text = (
                f"{url} does not take the key (HTTP {status}). The key comes from the environment: "
                "REDONE_API_KEY, else OPENAI_API_KEY. Set the one for this server."
            )
        case 401 | 403:
            text = (
                f"{url} wants a key (HTTP {status}). Put it into the environment: "
                "export REDONE_API_KEY=..."
            )
        case 402:
            text = f"{url} wants to be paid (HTTP 402).{told}"
        case 404 | 405:
            text = (
                f"{url} does not know this model or this path (HTTP {status}).{told} --model must "
                "be the name that the server lists, and --base-url end where the API begins, "
                "mostly with /v1."
            )
        case _ if 300 <= status < 400:
            place = headers.get("location", "")
            text = f"{url} sends on to {place[:200]!r}. Give the final address as --base-url."
        case _:
            text = (
                f"{url} refuses a request (HTTP {status}).{told} If the prompt is too long: "
                "--tokenizer PATH lets prompts be counted and shortened. If a field is unknown: "
                "docs/backends.md lists what --backend-args can change."
            )
    return Refused(status, text)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds in a Retry-After header (a number or a date), 0 where there is none."""
    told = headers.get("retry-after", "").strip()
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - time()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0

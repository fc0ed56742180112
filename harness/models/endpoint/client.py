"""HTTP to an OpenAI-compatible server: its settings, its errors, retries.

What may succeed next time is retried; what will not ends the run at once, with a message that says
what to change.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import math
import os
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ....tasks.errors import RedoneError
from .adapt import Complaint, Droppable, complaints, error_in, is_filter, rejected
from .pace import Pace
from .wire import Trouble, Unusable, assembled

KEYS = ("REDONE_API_KEY", "OPENAI_API_KEY")
"""Environment variables that may hold the key; the first that is set counts."""

_PATHS = ("/chat/completions", "/completions", "/models")


class EndpointOptions(BaseModel):
    """`--backend-args` of the endpoint backend.

    Attributes:
        api: `chat`: messages are sent, the server's chat template rules. `completions`: prompts
            are rendered and tokenized here, with --tokenizer. `auto`: completions if there is a
            tokenizer.
        concurrency: The most requests in flight at once.
        timeout: Seconds for one attempt, including time in the server's queue.
        patience: Seconds without any usable answer after which the run ends.
        back_off: Twice the mean wait in seconds after a first failure; doubles with each failure.
        tries: Failures of one request, while others succeed, after which it is skipped.
        context: Tokens of prompt and answer together, if the server does not report it.
        server: A name that replaces the URL in the run's identity, for servers that move.
        max_tokens_field: `max_completion_tokens` for servers that use this name for the limit.
        extra_body: Fields added to every request that generates text.
        drop: Fields to leave out of every request, as after a rejection (`adapt`).
        price_in: Per million input tokens.
        price_out: Per million output tokens.
    """

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    api: Literal["auto", "chat", "completions"] = "auto"
    concurrency: int = Field(default=32, ge=1)
    timeout: float = Field(default=600.0, gt=0)
    patience: float = Field(default=300.0, gt=0)
    back_off: float = Field(default=0.5, gt=0)
    tries: int = Field(default=12, ge=1)
    context: int | None = Field(default=None, ge=1)
    server: str | None = None
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = {}
    drop: list[Droppable] = []
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _both_prices(self) -> EndpointOptions:
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out belong together")
        return self


def checked_url(text: str | None) -> str:
    """The server's address without a slash at the end.

    Raises:
        RedoneError: None, not a URL, or one with more than an address.
    """
    if not text:
        raise RedoneError(
            "The endpoint backend needs the server's address: --base-url http://HOST:PORT/v1."
        )
    try:
        parts = urlsplit(text.strip())
        parts.port  # noqa: B018 (reading it checks it)
    except ValueError as error:
        raise RedoneError(f"--base-url is not a URL: {error}.") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not quoted in the message: it may contain a key.
        raise RedoneError(
            "--base-url has a user, password, query or fragment. It is written into the run "
            f"folder, so pass the address alone; a key belongs in the environment ({KEYS[0]})."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RedoneError(
            f"--base-url {text!r} is not a URL. Expected e.g. http://localhost:8000/v1."
        )
    url = text.strip().rstrip("/")
    for path in _PATHS:
        if url.endswith(path):
            raise RedoneError(
                f"--base-url {text!r} includes a path of the API. Pass the part before it: "
                f"{url.removesuffix(path)}"
            )
    return url


def key_from(environment: Mapping[str, str] = os.environ) -> str | None:
    """The key, None without one.

    Raises:
        RedoneError: It contains characters that no key has.
    """
    for name in KEYS:
        if key := environment.get(name, "").strip():
            if not key.isascii() or not key.isprintable() or " " in key:
                raise RedoneError(
                    f"The key in {name} contains a space, a line break or another character that "
                    "no key has. Set it again."
                )
            return key
    return None


def is_loopback(url: str) -> bool:
    """Whether a server is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for a server, without its password; None: none."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    named = getproxies()
    kind = parts.scheme if parts.scheme in named else "all"
    if kind not in named:
        return None
    address = re.sub(r"//[^/@]*@", "//", named[kind])
    return f"the proxy {address} (${kind.upper()}_PROXY)"


T = TypeVar("T")

LARGEST = 1 << 26  # bytes of a reply
LONGEST_PAUSE = 30.0  # seconds between two attempts, unless the server requests more
SILENCE_COUNTS = 4  # tries that a timeout counts for
WARN_EVERY = 60.0  # seconds between two warnings that no answer comes

AGAIN = {408, 409, 421, 425, 500, 502, 504, 520, 521, 522, 523, 524, 598, 599}
OVERLOADED = {429, 503, 529}
FILTERED = {
    "content_filter", "content_policy_violation", "data_inspection_failed", "moderation_blocked",
}  # fmt: skip
"""Error codes of providers that refuse to answer a prompt because of what it says."""

_log = logging.getLogger("redone.endpoint")


class ServerGone(RedoneError):
    """The server gave no usable answer for too long."""

    exit_code = 69


class Filtered(Exception):
    """The provider's content filter rejects this prompt."""


class Unanswerable(Exception):
    """A request failed repeatedly while others succeeded; the text is its last error."""


class Refused(RedoneError):
    """An error of the server that will not go away by retrying.

    Attributes:
        status: Of HTTP.
        said: What the server says about the request.
    """

    def __init__(self, status: int, message: str, said: Sequence[Complaint] = ()) -> None:
        super().__init__(message)
        self.status, self.said = status, said


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The decoded body; of a stream of events, what they add up to.

        Raises:
            Unusable: It is not JSON.
        """
        try:
            if self.body[:64].lstrip().startswith((b"data:", b"event:", b":")):
                return assembled(self.body)
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unusable("an answer that is not JSON") from None

    def field(self, name: str) -> Any:
        """A field of the body, None if it has none or is not a JSON object."""
        try:
            body = self.json()
        except Unusable:
            return None
        return body.get(name) if isinstance(body, Mapping) else None


class Client:
    """Sends requests to one server; all its coroutines run in one event loop.

    The key is sent as a bearer token, and removed from every message.
    """

    def __init__(self, url: str, key: str | None, options: EndpointOptions) -> None:
        import httpx

        self.url, self._key, self._options = url, key, options
        self.proxy = proxy_of(url)
        self._pace = Pace(options.concurrency)
        self._last_answer, self._warned_at = 0.0, -math.inf
        self._trouble_since: float | None = None
        # Redirects are not followed: the key is sent to no other server.
        try:
            self._http = httpx.AsyncClient(
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=httpx.Timeout(None, connect=min(10.0, options.timeout)),
                limits=httpx.Limits(
                    max_connections=None, max_keepalive_connections=options.concurrency
                ),
                # A server on this machine is asked directly.
                trust_env=not is_loopback(url),
            )
        except ImportError:
            raise RedoneError(
                f"{self.proxy or 'The proxy'} needs SOCKS support: pip install 'httpx[socks]'; or "
                "add the server's host to $NO_PROXY."
            ) from None
        except ValueError as error:
            raise RedoneError(f"{self.proxy or 'The proxy'} cannot be used: {error}.") from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def ask(
        self, path: str, body: Mapping[str, Any] | None, read: Callable[[Reply, float], T]
    ) -> T:
        """Send a request until there is an answer.

        Args:
            path: Below the URL.
            body: Posted as JSON; None: a GET.
            read: Parses the reply, given the seconds that it took; raises `Unusable`.

        Raises:
            Filtered: The provider's content filter rejects this prompt.
            Unanswerable: It failed too often while other requests succeeded.
            Refused: The server will never answer this.
            ServerGone: No usable answer to any request for too long.
        """
        options, failures, tries, failed_at = self._options, 0, 0, math.inf
        while True:
            async with self._pace.turn() as sent:
                try:
                    reply = await self.send(f"{self.url}{path}", body)
                    self._raise_for_status(reply, body or {})
                    answer = read(reply, monotonic() - sent)
                except Trouble as error:
                    trouble = error
                    if trouble.slow_down:
                        self._pace.slower(sent, trouble.wait)
                else:
                    self._pace.faster()
                    self._last_answer, self._trouble_since = monotonic(), None
                    return answer
            # Tries count only while other requests succeed: a restart must not use them up.
            tries += trouble.tries if self._last_answer > failed_at else 0
            failures, failed_at = failures + 1, monotonic()
            if tries >= options.tries:
                raise Unanswerable(str(trouble))
            self._lose_patience(trouble)
            # Exponential with full jitter, so that clients who failed together do not return
            # together (Brooker 2015, "Exponential Backoff and Jitter").
            longest = min(LONGEST_PAUSE, options.back_off * 2.0 ** min(failures - 1, 32))
            await asyncio.sleep(random.uniform(0.0, longest))

    def _lose_patience(self, trouble: Trouble) -> None:
        """Warn once a minute that no answer comes, and why; raise when patience is over."""
        now, patience = monotonic(), self._options.patience
        if self._trouble_since is None:
            self._trouble_since = now
        seconds = now - self._trouble_since
        if trouble.wait > patience:
            raise ServerGone(
                f"{self.url} requests to wait {trouble.wait:.0f} s ({trouble}). Progress is saved: "
                "rerun the same command then to resume."
            )
        if seconds > patience:
            raise ServerGone(
                f"{self.url} has given no usable answer for {seconds:.0f} s (last: {trouble}). "
                "Progress is saved: rerun the same command to resume when it is back."
            )
        if seconds >= min(WARN_EVERY, patience) / 4 and now - self._warned_at > WARN_EVERY:
            self._warned_at = now
            _log.warning(
                "No answer from %s for %.0f s (%s). Giving up after %.0f s.",
                self.url, seconds, trouble, patience,
            )  # fmt: skip

    async def look_up(self, url: str, name: str, body: Mapping[str, Any] | None = None) -> Any:
        """A field of the reply to one attempt, None if there is none."""
        try:
            return (await self.send(url, body)).field(name)
        except Trouble:
            return None

    async def send(self, url: str, body: Mapping[str, Any] | None = None) -> Reply:
        """One attempt: a POST of the body, a GET without one.

        Raises:
            Trouble: No complete reply before the timeout.
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
                received = bytearray()
                async for part in response.aiter_bytes():
                    received += part
                    if len(received) > LARGEST:
                        raise Trouble(f"a reply of more than {LARGEST >> 20} MB")
                return Reply(response.status_code, response.headers, bytes(received))
        except TimeoutError:
            reason = f"no answer within {self._options.timeout:g} s"
            raise Trouble(reason, slow_down=True, tries=SILENCE_COUNTS) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            through = f", through {self.proxy}" if self.proxy else ""
            reason = self._clean(str(error)) or type(error).__name__
            raise Trouble(f"{reason}{through}") from None

    def _error_of(self, reply: Reply) -> tuple[str, str]:
        """Code and message of an error, one clean line each, "" if missing."""
        try:
            error = error_in(reply.json())
        except Unusable:
            return "", ""
        if not isinstance(error, Mapping):
            return "", self._clean(str(error))
        message = error.get("message") or error.get("detail") or ""
        return str(error.get("code") or error.get("type") or ""), self._clean(str(message))

    def _raise_for_status(self, reply: Reply, sent: Mapping[str, Any]) -> None:
        """Raise unless the reply may contain an answer."""
        status = reply.status
        if status == 200:
            return
        code, message = self._error_of(reply)
        reason = f"HTTP {status}" + (f": {message}" if message else "")
        if code == "insufficient_quota":
            text = f"{self.url} reports that the account has no quota left ({reason})."
            raise Refused(status, text)
        if (
            code.lower() in FILTERED
            or code == "DataInspectionFailed"
            or (status == 400 and is_filter(message))
        ):
            raise Filtered(reason)
        if status in OVERLOADED:  # not the fault of this request
            raise Trouble(reason, slow_down=True, wait=_retry_after(reply.headers), tries=0)
        said = self._complaints(reply)
        # Some servers fail (500) at a field that they do not take: they will each time.
        if status in AGAIN and not (status == 500 and rejected(sent, said)):
            raise Trouble(reason)
        advice = _advice(self.url, reply, message, bool(self._key))
        raise Refused(status, advice, said if status in (400, 422, 500) else ())

    def _complaints(self, reply: Reply) -> list[Complaint]:
        try:
            found = complaints(reply.json())
        except Unusable:
            return []
        return [Complaint(self._line(c.text)[:4000], c.field, c.code) for c in found]

    def _clean(self, text: str) -> str:
        """A server's message on one line, without the key or control characters."""
        return self._line(text)[:300]

    def _line(self, text: str) -> str:
        text = text.replace(self._key, "***") if self._key else text
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _advice(url: str, reply: Reply, message: str, with_key: bool) -> str:
    """What to change after a status that will not go away by retrying."""
    status = reply.status
    says = f" The server says: {message.rstrip('.')}." if message else ""
    match status:
        # A server's message about a key may contain part of it: it is not quoted.
        case 401 | 403 if with_key:
            return (
                f"{url} rejects the key (HTTP {status}). The key comes from the environment: "
                "REDONE_API_KEY, else OPENAI_API_KEY. Set the one for this server."
            )
        case 401 | 403:
            return (
                f"{url} requires a key (HTTP {status}). Put it into the environment: "
                "export REDONE_API_KEY=..."
            )
        case 402:
            return f"{url} requires payment (HTTP 402).{says}"
        case 404 | 405:
            return (
                f"{url} does not have this model or this path (HTTP {status}).{says} --model must "
                "be the name that the server lists, and --base-url end where the API begins, "
                "usually with /v1."
            )
        case _ if 300 <= status < 400:
            place = reply.headers.get("location", "")
            return f"{url} redirects to {place[:200]!r}. Pass the final address as --base-url."
    return (
        f"{url} rejects a request (HTTP {status}).{says} If the prompt is too long: "
        "with --tokenizer PATH prompts are counted and shortened. If a field is unknown: "
        "docs/backends.md lists what --backend-args can change."
    )


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds in a Retry-After header (a number or a date), 0 where there is none."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0

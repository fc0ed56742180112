"""What a user can set about a server: `--base-url`, `--backend-args`, and the key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from ...tasks.errors import RedoneError

KEYS = ("REDONE_API_KEY", "OPENAI_API_KEY")
"""Environment variables that may hold the key; the first that is set counts."""

_PATHS = ("/chat/completions", "/completions", "/models")


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """`--backend-args` of the endpoint backend.

    Attributes:
        api: `chat`: messages are sent, the server's chat template rules. `completions`: prompts
            are rendered and tokenised here, with --tokenizer. `auto`: completions if there is a
            tokenizer.
        concurrency: The most requests under way at once.
        timeout: Seconds for one attempt, waiting in the server's queue included.
        patience: Seconds without any usable answer after which the server counts as gone.
        back_off: Seconds, mean wait after a first failure times two; doubled after each further.
        tries: Failures of one request, while others are answered, after which it is left out.
        context: Tokens of prompt and answer together, where the server does not tell.
        server: A name that stands for the URL in the run's identity, for servers that move.
        max_tokens_field: `max_completion_tokens` for servers that call the limit so.
        extra_body: Fields added to every request that makes text.
        price_in: Of a million tokens read.
        price_out: Of a million tokens written.
    """

    api: Literal["auto", "chat", "completions"] = "auto"
    concurrency: int = 32
    timeout: float = 600.0
    patience: float = 300.0
    back_off: float = 0.5
    tries: int = 12
    context: int | None = None
    server: str | None = None
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = field(default_factory=dict)
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        for name in ("concurrency", "tries", "context"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RedoneError(f"--backend-args, {name}: {value} is less than 1.")
        for name in ("timeout", "patience", "back_off"):
            if getattr(self, name) <= 0:
                raise RedoneError(f"--backend-args, {name}: {getattr(self, name)} is not above 0.")
        for name in ("price_in", "price_out"):
            if (getattr(self, name) or 0) < 0:
                raise RedoneError(f"--backend-args, {name}: {getattr(self, name)} is below 0.")
        if (self.price_in is None) != (self.price_out is None):
            raise RedoneError("--backend-args: price_in and price_out belong together.")


def checked_url(text: str | None) -> str:
    """The server's address without a slash at the end.

    Raises:
        RedoneError: None, no web address, or one that holds more than it may.
    """
    if not text:
        raise RedoneError(
            "The endpoint backend needs the server's address: --base-url http://HOST:PORT/v1."
        )
    try:
        parts = urlsplit(text.strip())
        parts.port  # noqa: B018 (reading it checks it)
    except ValueError as error:
        raise RedoneError(f"--base-url is no web address: {error}.") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not repeated: what stands there may be a key.
        raise RedoneError(
            "--base-url has a user, password, query or fragment. It is written into the run "
            f"folder, so give the address alone; a key belongs into the environment ({KEYS[0]})."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RedoneError(
            f"--base-url {text!r} is no web address. Expected e.g. http://localhost:8000/v1."
        )
    url = text.strip().rstrip("/")
    for path in _PATHS:
        if url.endswith(path):
            raise RedoneError(
                f"--base-url {text!r} names one path of the API. Give what stands before it: "
                f"{url.removesuffix(path)}"
            )
    return url


def key_from(environment: Mapping[str, str] = os.environ) -> str | None:
    """The key, None without one.

    Raises:
        RedoneError: It holds what no key can hold.
    """
    for name in KEYS:
        if key := environment.get(name, "").strip():
            if not key.isascii() or not key.isprintable() or " " in key:
                raise RedoneError(
                    f"The key in {name} holds a space, a line break or a letter that no key has. "
                    "Set it again."
                )
            return key
    return None

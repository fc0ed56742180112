"""The model of the `endpoint` backend, and the check at the start that the server has it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ....tasks.errors import RedoneError, UnknownName
from ....tasks.schema import Completion, Message, Request, Settings
from ..base import Thinking, check_thinking, first_line
from ..output import Opened
from ..rendering import Renderer
from ..thinking import KNOWN, Marks, ending
from .adapt import Adaptation
from .client import Client, EndpointOptions, Filtered, Refused, Reply, Unanswerable, checked_url
from .pace import Background
from .wire import Trouble, Unsupported, Unusable, completion, limits, sampling, scored, scoring

T = TypeVar("T")

LOOKS, PAUSE, SILENCE = 3, 0.2, 20.0
"""Attempts to connect at the start, seconds between them, and seconds to wait for a reply."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server reports about itself and a model: its version, where it has the model from.

    Attributes:
        kind: `owned_by` of its models: "vllm", "sglang", "llamacpp", ...
        context: Tokens of prompt and answer together.
    """

    kind: str = ""
    version: str | None = None
    root: str | None = None
    context: int | None = None


async def find_model(client: Client, model: str, path: str, probe: Mapping[str, Any]) -> Server:
    """Find the model that the user named on the server.

    A model that is not listed exists if the server answers `probe` (posted to `path`), a request
    for one token.

    Raises:
        RedoneError: No answer, a missing or wrong key, or not an OpenAI-compatible server.
        UnknownName: The server does not have the model.
    """
    await _reach(client)
    try:
        listed = _models(await client.ask("/models", None, _whole))
    except Refused as error:
        if error.status not in (404, 405, 501):
            raise
        await _refuse_without_v1(client)
        listed = []
    except Unusable:
        await _refuse_without_v1(client)
        raise RedoneError(
            f"{client.url}/models does not answer as an OpenAI-compatible server does. --base-url "
            "must end where the API begins, usually with /v1."
        ) from None
    entry = next((m for m in listed if m["id"] == model), None)
    if entry is None:
        # Some servers have models, aliases or deployments that they do not list.
        await _prove(client, model, path, probe, [m["id"] for m in listed])
        entry = listed[0] if len(listed) == 1 else {}
    kind, context = _text(entry.get("owned_by"), 40) or "", entry.get("max_model_len")
    address = f"{client.url.removesuffix('/v1')}/version"
    return Server(
        kind=kind,
        version=_text(await client.look_up(address, "version") if kind == "vllm" else None, 40),
        root=_text(entry.get("root"), 400),
        context=context if isinstance(context, int) and context > 0 else None,
    )


async def _reach(client: Client) -> None:
    """Raise if there is no server; any reply will do."""
    for left in reversed(range(LOOKS)):
        try:
            async with asyncio.timeout(SILENCE):
                await client.send(f"{client.url}/models")
            return
        except (Trouble, TimeoutError) as trouble:
            if not left:
                raise RedoneError(
                    f"No answer from {client.url} ({str(trouble) or 'timeout'}). Is the server "
                    "running, and is the port right? --base-url is e.g. http://localhost:8000/v1."
                ) from None
        await asyncio.sleep(PAUSE)


async def _refuse_without_v1(client: Client) -> None:
    """Raise if the API begins at /v1 below the given address."""
    url = f"{client.url}/v1"
    served = not client.url.endswith("/v1") and await client.look_up(f"{url}/models", "data")
    if isinstance(served, list):
        raise RedoneError(f"The API begins at /v1: pass --base-url {url}")


async def _prove(
    client: Client, model: str, path: str, probe: Mapping[str, Any], known: Sequence[str]
) -> None:
    """Request one token, which fails if the server does not have the model."""
    try:
        await client.ask(path, probe, _whole)
    except Filtered:
        return
    except Refused as error:
        unknown = error.status == 404 or (error.status in (400, 422) and "model" in str(error))
        if known and unknown:
            listing = "GET /models of the server lists them."
            raise UnknownName(f"model on {client.url}:", model, known, listing) from None
        raise


def _text(value: Any, most: int) -> str | None:
    return value[:most] if isinstance(value, str) else None


def _whole(reply: Reply, _: float) -> Reply:
    return reply


def _models(reply: Reply) -> list[Mapping[str, Any]]:
    """The entries of a list of models; raises `Unusable` if it is not one."""
    listed = reply.field("data")
    if not isinstance(listed, list):
        raise Unusable("no list of models")
    entries = [m for m in listed if isinstance(m, Mapping)]
    return [m for m in entries if isinstance(m.get("id"), str) and m["id"].isprintable()]


_log = logging.getLogger("redone.endpoint")

STOP_TOKENS = ("vllm", "sglang")
"""Servers (by `owned_by` of their models) that take `stop_token_ids`."""
CHARACTERS = 20
"""More characters per token than any text has."""
TEMPLATE_BYTES = 1024
"""Upper bound of the bytes that a server's chat template adds: shorter prompts are not counted."""


class EndpointModel:
    """A model on a server.

    The chat template is applied once: by the server, which receives messages (`chat`), or here, and
    the server receives token ids (`completions`), as for raw prompts. Which of the two is part of
    the identity.

    Args:
        name: The model's name on the server.
        url: The server's, with its `/v1`.
        tokenizer: Folder of the model's tokenizer: prompts are rendered and counted here.
        chat_template_args: Extra arguments of the chat template, whoever applies it.
        thinking: Thinking mode, for templates that have one.
        chat_template: Name of one of the tokenizer's chat templates, or a file.
        thinking_marks: Opening and closing mark of thinking, beside the known ones.
        options: Everything else.
        key: The server's key; None: none.

    Raises:
        RedoneError: The server cannot be used; the message says what to change.
    """

    backend = "endpoint"

    def __init__(
        self,
        name: str,
        url: str | None,
        *,
        tokenizer: str | Path | None = None,
        chat_template_args: Mapping[str, Any] | None = None,
        thinking: Thinking = "auto",
        chat_template: str | None = None,
        thinking_marks: Sequence[str] | None = None,
        options: EndpointOptions | None = None,
        key: str | None = None,
    ) -> None:
        check_thinking(thinking)
        self.name = name
        self._options = options or EndpointOptions()
        self._url = checked_url(url)
        self._arguments = dict(sorted((chat_template_args or {}).items()))
        if thinking != "auto":
            self._arguments["enable_thinking"] = thinking == "on"
        self._thinking: Thinking = thinking
        self._own_marks = list(thinking_marks or ())
        self._marks = (Marks(*self._own_marks), *KNOWN) if self._own_marks else KNOWN
        self._renderer: Renderer | None = None
        if tokenizer:
            more = (chat_template, thinking_marks)
            self._renderer = _renderer(tokenizer, self._arguments, *more)
            self._marks = self._renderer.marks
        elif chat_template:
            raise RedoneError(
                "--chat-template is for prompts that are rendered here: it needs --tokenizer PATH."
            )
        api = self._options.api
        self._chat = api == "chat" or (api == "auto" and self._renderer is None)
        if not self._chat and self._renderer is None:
            raise RedoneError(
                '--backend-args, api "completions": prompts are rendered here, which needs '
                "--tokenizer PATH."
            )
        self._counted, self._warned, self._doubted = True, False, False
        self._server = Server()
        self._adaptation = Adaptation(name, self._options.drop, self._options.extra_body)
        self._client = Client(self._url, key, self._options)
        self._background = Background()
        try:
            self._server = self._background.wait(self._found())
        except BaseException:
            self.close()
            raise
        self.context: int | None = self._options.context or self._server.context
        self.context_from = "--backend-args" if self._options.context else "the server"
        self.thinks = (
            thinking == "on"
            or bool(thinking_marks)
            or (self._renderer is not None and self._renderer.thinks)
        )

    def identity(self) -> dict[str, Any]:
        """What changes an answer, as far as a server reports it."""
        renderer = None if self._chat else self._renderer
        return {
            "model": self.name,
            "server": self._options.server or self._url,
            "server_kind": self._server.kind,
            "root": self._server.root,
            "api": "chat" if self._chat else "completions",
            "chat_template": "server",
            **(renderer.identity() if renderer else {"chat_template_args": self._arguments}),
            **({"thinking_marks": self._own_marks} if self._own_marks else {}),
            "tokenizer": None if renderer is None else _vocabulary(renderer),
            "thinking": self._thinking,
            "extra_body": self._options.extra_body,
        }

    def environment(self) -> dict[str, Any]:
        """What is recorded with the answers; the cost of a run is computed with these prices."""
        options, server = self._options, self._server
        prices = {"input": options.price_in, "output": options.price_out}
        return {
            "backend": self.backend,
            "url": self._url,
            "server": " ".join(filter(None, (server.kind, server.version))) or None,
            "chat_template_by": "server" if self._chat else "redone",
            "context": self.context,
            "concurrency": options.concurrency,
            **({"notes": notes} if (notes := self.notes) else {}),
            **({"left_out": left} if (left := self.left_out) else {}),
        } | ({} if options.price_in is None else {"prices_per_million_tokens": prices})

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit.

        Without a tokenizer the server counts if it can (/tokenize of vLLM and SGLang); if it
        cannot, a prompt that is too long is the server's to reject.
        """
        if self._renderer is not None:
            return self._renderer.overflow(request, self.context, self._most_scored)
        if self.context is None or request.kind != "generate":
            return -1
        room = self.context - request.settings.max_tokens - request.settings.max_thinking_tokens
        prompt = request.prompt
        parts = [prompt] if isinstance(prompt, str) else [m["content"] for m in prompt]
        most = TEMPLATE_BYTES + sum(len(part.encode()) for part in parts)
        if most <= room:
            return most - room
        count = self._background.wait(self._count(prompt)) if self._counted else None
        self._counted = count is not None
        return -1 if count is None else count - room

    def run(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Completion]]:
        """Complete requests, many at once, each yielded when it is done.

        Raises:
            RedoneError: No usable answer for too long, or a request that the server will never
                answer. Also at the end if some requests failed while others succeeded.
        """
        skipped: list[Unanswerable] = []
        ahead = 2 * self._options.concurrency
        for request, answer in self._background.each(requests, self._answer, ahead):
            if isinstance(answer, Unanswerable):
                skipped.append(answer)
            else:
                yield request, answer
        if skipped:
            raise RedoneError(
                f"{self._url} failed repeatedly on {len(skipped)} requests while others succeeded "
                f"(last error: {skipped[-1]}). Progress is saved: rerun the same command to retry "
                "these, or use --rescore RUN for provisional figures."
            )

    def close(self) -> None:
        """Cancel the requests in flight and close the connections."""
        self._background.close(last=self._client.close)

    async def _answer(self, request: Request) -> Completion | Unanswerable:
        work = self._generate if request.kind == "generate" else self._loglikelihood
        try:
            return await work(request)
        except Filtered:
            return Completion("")
        except Unanswerable as error:
            return error

    async def _generate(self, request: Request) -> Completion:
        path, body, opened = self._body(request)
        settings = request.settings
        if self._renderer is not None and not self._chat:
            settings = self._renderer.ended(settings)

        async def send(fitting: Mapping[str, Any]) -> Completion:
            answer = await self._client.ask(
                path,
                fitting,
                lambda reply, took: completion(reply.json(), settings, opened, took, self._marks),
            )
            self._adaptation.accept(fitting)
            return answer

        answer = await self._adapted(body, send)
        self._warn_if_lost(request, answer)
        if answer.thinking is not None and not settings.max_thinking_tokens and not self._warned:
            self._warned = True
            _log.warning(
                "%s is thinking within the token limits of its answers. Pass --max-thinking-tokens "
                "N, or --thinking off if the server supports it.", self.name,
            )  # fmt: skip
        return answer

    def _warn_if_lost(self, request: Request, answer: Completion) -> None:
        """Warn once if the server's template seems to lose the text of the messages."""
        prompt = request.prompt
        parts = [prompt] if isinstance(prompt, str) else [m["content"] for m in prompt]
        size = sum(map(len, parts))
        if self._doubted or not 0 < answer.prompt_tokens * CHARACTERS < size:
            return
        self._doubted = True
        _log.getChild("template").warning(
            "%s counts %d tokens for a prompt of %d characters: its chat template may lose the "
            "text. --tokenizer PATH applies the template here.", self._url, answer.prompt_tokens,
            size,
        )  # fmt: skip

    async def _found(self) -> Server:
        """The server, asked for the model as for every answer."""
        path, body, _ = self._body(Request("", ({"role": "user", "content": "."},), _ONE))
        return await self._adapted(
            body, lambda fitting: find_model(self._client, self.name, path, fitting)
        )

    async def _adapted(
        self, body: Mapping[str, Any], send: Callable[[Mapping[str, Any]], Awaitable[T]]
    ) -> T:
        """Sends a request, and again without what the server names as not accepted."""
        while True:
            fitting = self._adaptation.apply(body)
            try:
                return await send(fitting)
            except Refused as error:
                if not self._adaptation.learn(fitting, error.said):
                    raise

    def _body(self, request: Request) -> tuple[str, dict[str, Any], Opened]:
        """Path and body of a request, and the marks of the thinking that its prompt ends in."""
        prompt, settings = request.prompt, request.settings
        body = {"model": self.name, **sampling(settings, request.seed, self._server.kind)}
        if self._chat and not isinstance(prompt, str):
            body |= self._messages(prompt) | limits(settings, self._options.max_tokens_field)
            return "/chat/completions", body | self._options.extra_body, None
        if self._renderer is None:
            body["prompt"], opened = prompt, ending(str(prompt), self._marks)
        else:
            rendered = self._renderer.render(prompt)
            ids = self._renderer.encode([rendered])[0]
            body["prompt"], opened = ids or [self._renderer.first_token], rendered.opened
            if self._server.kind in STOP_TOKENS and (end := self._renderer.turn_end) is not None:
                body["stop_token_ids"] = [end]
        body |= limits(settings, "max_tokens")
        return "/completions", body | self._options.extra_body, opened

    def _messages(self, prompt: Sequence[Message]) -> dict[str, Any]:
        arguments = {"chat_template_kwargs": self._arguments} if self._arguments else {}
        return {"messages": [dict(m) for m in prompt], **arguments}

    async def _loglikelihood(self, request: Request) -> Completion:
        if self._renderer is None:
            raise Unsupported(
                "These tasks need log-likelihoods, and so the model's tokenizer: --tokenizer PATH."
            )
        windows = self._renderer.scored_windows(request, self._most_scored)
        parts = [await self._window(ids, count) for ids, count in windows]
        return Completion(
            text="",
            prompt_tokens=sum(part.prompt_tokens for part in parts),
            seconds=sum(part.seconds for part in parts),
            logprob=sum(part.logprob or 0.0 for part in parts),
            greedy=all(part.greedy for part in parts),
        )

    @property
    def _most_scored(self) -> int | None:
        # vLLM reserves a position for a generated token even where none is requested.
        return None if self.context is None else self.context - 1

    @property
    def notes(self) -> list[str]:
        """What a reader must know about how prompts were rendered."""
        return [] if self._chat or self._renderer is None else self._renderer.notes

    @property
    def left_out(self) -> dict[str, str]:
        """Fields that the server does not accept, and what is done instead."""
        return dict(self._adaptation.left_out)

    async def _window(self, ids: Sequence[int], count: int) -> Completion:
        return await self._client.ask(
            "/completions",
            {"model": self.name, **scoring(ids)},
            lambda reply, took: scored(reply.json(), len(ids), count, took),
        )

    async def _count(self, prompt: Sequence[Message] | str) -> int | None:
        """Tokens of a prompt by the server's tokenizer and template, None if it cannot count."""
        if isinstance(prompt, str):
            content: dict[str, Any] = {"prompt": prompt}
        else:
            content = self._messages(prompt) | {"add_generation_prompt": True}
        address = f"{self._url.removesuffix('/v1')}/tokenize"
        count = await self._client.look_up(address, "count", {"model": self.name, **content})
        return count if isinstance(count, int) and count >= 0 else None


_ONE = Settings(max_tokens=1)


def _renderer(path: str | Path, arguments: Mapping[str, Any], *more: Any) -> Renderer:
    from transformers import AutoTokenizer

    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise RedoneError(
            f"--tokenizer {str(path)!r} is not a folder. Pass the one with the model's "
            "tokenizer.json (or tokenizer_config.json)."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise RedoneError(
            f"--tokenizer {str(path)!r} cannot be read: {first_line(error)}."
        ) from error
    return Renderer(tokenizer, arguments, "auto", *more)


def _vocabulary(renderer: Renderer) -> str:
    """16 hex digits over all tokens and their ids."""
    tokens = json.dumps(sorted(renderer.tokenizer.get_vocab().items(), key=lambda t: t[1]))
    return hashlib.sha256(tokens.encode()).hexdigest()[:16]

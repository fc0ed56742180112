"""The `endpoint` backend: a model behind any OpenAI-compatible server."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ...tasks.errors import RedoneError, UnknownName
from ...tasks.schema import Completion, Message, Request, Settings
from .background import Background
from .base import Thinking, opens_thinking
from .endpoint_client import Client, Filtered, Trouble, Unanswerable
from .endpoint_options import EndpointOptions, checked_url, key_from
from .endpoint_server import Server, look
from .endpoint_wire import (
    Unsupported,
    Unusable,
    completion,
    limits,
    sampling,
    scored,
    scoring,
)
from .rendering import Renderer

_log = logging.getLogger("redone.endpoint")

TEMPLATE_BYTES = 1024
"""Bytes that a server's chat template is taken to add at most, before the server is asked."""


class EndpointModel:
    """A model on a server.

    A chat template is applied once: by the server, which gets messages (`chat`), or here, and the
    server gets token ids (`completions`), as raw prompts always do. Whose template ruled is part of
    the identity.

    Args:
        name: The model's name on the server.
        url: The server's, with its `/v1`.
        tokenizer: Folder of the model's tokenizer: prompts are rendered and counted here.
        chat_template_args: Extra arguments of the chat template, whoever applies it.
        thinking: Thinking mode, for templates that have one.
        options: Everything else.
        key: The server's key; None: none.

    Raises:
        RedoneError: The server cannot be used; the message tells how it can.
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
        options: EndpointOptions | None = None,
        key: str | None = None,
    ) -> None:
        if thinking not in get_args(Thinking):
            raise UnknownName("thinking mode", thinking, get_args(Thinking))
        self.name = name
        self._options = options or EndpointOptions()
        self._url = checked_url(url)
        self._arguments = dict(sorted((chat_template_args or {}).items()))
        if thinking != "auto":
            self._arguments["enable_thinking"] = thinking == "on"
        self._thinking: Thinking = thinking
        self._renderer = _renderer(tokenizer, self._arguments) if tokenizer else None
        api = self._options.api
        self._chat = api == "chat" or (api == "auto" and self._renderer is None)
        if not self._chat and self._renderer is None:
            raise RedoneError(
                '--backend-args, api "completions": prompts are rendered here, which needs '
                "--tokenizer PATH."
            )
        self._counted, self._warned = True, False
        self._server = Server()
        self._client = Client(self._url, key, self._options)
        self._background = Background()
        try:
            path, body, _ = self._question(Request("", ({"role": "user", "content": "."},), _ONE))
            self._server = self._background.wait(look(self._client, name, path, body))
        except BaseException:
            self.close()
            raise
        self.context: int | None = self._options.context or self._server.context
        self.thinks = thinking == "on" or (self._renderer is not None and self._renderer.thinks)

    def identity(self) -> dict[str, Any]:
        """What changes an answer, as far as a server lets it be known."""
        renderer = None if self._chat else self._renderer
        return {
            "model": self.name,
            "server": self._options.server or self._url,
            "server_kind": self._server.kind,
            "root": self._server.root,
            "api": "chat" if self._chat else "completions",
            "chat_template": "server" if renderer is None else renderer.template_hash,
            "chat_template_args": self._arguments,
            "tokenizer": None if renderer is None else _vocabulary(renderer),
            "thinking": self._thinking,
            "extra_body": self._options.extra_body,
        }

    def environment(self) -> dict[str, Any]:
        """What is recorded and told; prices are what results are charged with."""
        told: dict[str, Any] = {
            "backend": self.backend,
            "url": self._url,
            "server": " ".join(filter(None, (self._server.kind, self._server.version))) or None,
            "chat_template_by": "server" if self._chat else "redone",
            "context": self.context,
            "concurrency": self._options.concurrency,
        }
        if self._options.price_in is not None:
            prices = {"input": self._options.price_in, "output": self._options.price_out}
            told["prices_per_million_tokens"] = prices
        return told

    def overflow(self, request: Request) -> int:
        """By how many tokens prompt and limits exceed the context; 0 or less: they fit.

        Without a tokenizer the server is asked to count where it can (vLLM's and SGLang's
        /tokenize); where it cannot, its own refusal decides.
        """
        if self._renderer is not None:
            return self._renderer.overflow(request, self.context)
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
            RedoneError: No usable answer for too long, or the server will never answer a request.
                At the end also if some requests failed while others were answered.
        """
        left_out: list[Unanswerable] = []
        ahead = 2 * self._options.concurrency
        for request, answer in self._background.each(requests, self._answer, ahead):
            if isinstance(answer, Unanswerable):
                left_out.append(answer)
            else:
                yield request, answer
        if left_out:
            raise RedoneError(
                f"{self._url} failed on {len(left_out)} requests again and again while it answered "
                f"the others (last: {left_out[-1]}). All other answers are kept: run the same "
                "command to ask for these again, or --rescore RUN for provisional figures."
            )

    def close(self) -> None:
        """Cancels what is under way and closes the connections."""
        self._background.close(last=self._client.close)

    async def _answer(self, request: Request) -> Completion | Unanswerable:
        try:
            return await (self._text(request) if request.kind == "generate" else self._sum(request))
        except Filtered:
            return Completion("")
        except Unanswerable as error:
            return error

    async def _text(self, request: Request) -> Completion:
        path, body, opened = self._question(request)
        settings = request.settings
        answer = await self._client.ask(
            path, body, lambda reply, took: completion(reply.json(), settings, opened, took)
        )
        if answer.thinking is not None and not settings.max_thinking_tokens and not self._warned:
            self._warned = True
            _log.warning(
                "%s thinks, and its thinking takes the tokens of its answers. Give it "
                "--max-thinking-tokens N, or --thinking off if the server can.", self.name,
            )  # fmt: skip
        return answer

    def _question(self, request: Request) -> tuple[str, dict[str, Any], bool]:
        """Path and body of a request, and whether its prompt ends inside `<think>`."""
        prompt, settings = request.prompt, request.settings
        body = {"model": self.name, **sampling(settings, request.seed, self._server.kind)}
        if self._chat and not isinstance(prompt, str):
            body["messages"] = [dict(m) for m in prompt]
            if self._arguments:
                body["chat_template_kwargs"] = self._arguments
            body |= limits(settings, self._options.max_tokens_field)
            return "/chat/completions", body | self._options.extra_body, False
        if self._renderer is None:
            body["prompt"], opened = prompt, opens_thinking(str(prompt))
        else:
            rendered = self._renderer.render(prompt)
            ids = self._renderer.encode([rendered])[0]
            body["prompt"], opened = ids or [self._renderer.first_token], rendered.opened
        body |= limits(settings, "max_tokens")
        return "/completions", body | self._options.extra_body, opened

    async def _sum(self, request: Request) -> Completion:
        """A log-likelihood."""
        if self._renderer is None:
            raise Unsupported(
                "These tasks need log-likelihoods, and so the model's tokenizer: --tokenizer PATH."
            )
        # vLLM keeps room for a token even where none is asked for.
        room = None if self.context is None else self.context - 1
        windows = self._renderer.scored_windows(request, room)
        parts = [await self._window(ids, count) for ids, count in windows]
        return Completion(
            text="",
            prompt_tokens=sum(part.prompt_tokens for part in parts),
            seconds=sum(part.seconds for part in parts),
            logprob=sum(part.logprob or 0.0 for part in parts),
            greedy=all(part.greedy for part in parts),
        )

    async def _window(self, ids: Sequence[int], count: int) -> Completion:
        return await self._client.ask(
            "/completions",
            {"model": self.name, **scoring(ids)},
            lambda reply, took: scored(reply.json(), len(ids), count, took),
        )

    async def _count(self, prompt: Sequence[Message] | str) -> int | None:
        """Tokens of a prompt by the server's own tokenizer and template, None if it cannot tell."""
        body: dict[str, Any] = {"model": self.name}
        if isinstance(prompt, str):
            body["prompt"] = prompt
        else:
            body |= {"messages": [dict(m) for m in prompt], "add_generation_prompt": True}
            if self._arguments:
                body["chat_template_kwargs"] = self._arguments
        root = self._url.removesuffix("/v1")
        try:
            told = (await self._client.send(f"{root}/tokenize", body)).json()
        except (Trouble, Unusable):
            return None
        count = told.get("count") if isinstance(told, Mapping) else None
        return count if isinstance(count, int) and count >= 0 else None


_ONE = Settings(max_tokens=1)


def load(
    name: str,
    url: str | None,
    *,
    tokenizer: str | None,
    chat_template_args: Mapping[str, Any],
    thinking: Thinking,
    options: EndpointOptions,
) -> EndpointModel:
    """The model behind `--backend endpoint`, with the key from the environment."""
    return EndpointModel(
        name,
        url,
        tokenizer=tokenizer,
        chat_template_args=chat_template_args,
        thinking=thinking,
        options=options,
        key=key_from(),
    )


def _renderer(path: str | Path, arguments: Mapping[str, Any]) -> Renderer:
    from transformers import AutoTokenizer

    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise RedoneError(
            f"--tokenizer {str(path)!r} is not a folder. Give the one that holds the model's "
            "tokenizer.json (or tokenizer_config.json)."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0][:300].rstrip(".")
        raise RedoneError(f"--tokenizer {str(path)!r} cannot be read: {reason}.") from error
    return Renderer(tokenizer, arguments, "auto")


def _vocabulary(renderer: Renderer) -> str:
    """16 hex digits over all tokens and their ids."""
    tokens = json.dumps(sorted(renderer.tokenizer.get_vocab().items(), key=lambda t: t[1]))
    return hashlib.sha256(tokens.encode()).hexdigest()[:16]

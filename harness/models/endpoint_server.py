"""A first look at a server: is it there, does it take the key, does it have the model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...tasks.errors import RedoneError, UnknownName
from .endpoint_client import Client, Refused, Reply, Trouble
from .endpoint_wire import Unusable

LOOKS, PAUSE, SILENCE = 3, 0.2, 20.0
"""Tries to reach the server at all, seconds between, and seconds to wait for it: a closed port is
mostly a wrong one."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server tells about itself and a model.

    Attributes:
        kind: `owned_by` of its models ("vllm", "sglang", "llamacpp", ...), "" where untold.
        version: Its version, None where untold.
        root: Where it has the model from, None where untold.
        context: Tokens of prompt and answer together, None where untold.
    """

    kind: str = ""
    version: str | None = None
    root: str | None = None
    context: int | None = None


async def look(client: Client, model: str, path: str, question: Mapping[str, Any]) -> Server:
    """Finds the model on the server.

    Args:
        client: Of this server.
        model: The name that the user gave.
        path: Where questions go.
        question: A request for one token: proves a model that is not listed.

    Raises:
        RedoneError: Nobody answers, the key is missing or wrong, or it is not such a server.
        UnknownName: The server does not have the model.
    """
    await _reach(client)
    try:
        listed = _models(await client.ask("/models", None, _whole))
    except Refused as error:
        if error.status not in (404, 405, 501):
            raise
        await _refuse_without_v1(client)
        await _prove(client, model, path, question, ())
        return Server()
    except Unusable:
        await _refuse_without_v1(client)
        raise RedoneError(
            f"{client.url}/models answers, but not as an OpenAI-compatible server does. --base-url "
            "must end where the API begins, mostly with /v1."
        ) from None
    entry = next((m for m in listed if m["id"] == model), None)
    if entry is None:
        # Some servers know models, aliases or deployments that they do not list.
        await _prove(client, model, path, question, [m["id"] for m in listed])
        entry = listed[0] if len(listed) == 1 else {}
    kind, root, context = (entry.get(n) for n in ("owned_by", "root", "max_model_len"))
    kind = kind[:40] if isinstance(kind, str) else ""
    return Server(
        kind=kind,
        version=await _version(client) if kind == "vllm" else None,
        root=root[:400] if isinstance(root, str) else None,
        context=context if isinstance(context, int) and context > 0 else None,
    )


async def _reach(client: Client) -> None:
    """Raises if nobody listens; whatever is answered is somebody."""
    for left in reversed(range(LOOKS)):
        try:
            async with asyncio.timeout(SILENCE):
                await client.send(f"{client.url}/models")
            return
        except (Trouble, TimeoutError) as trouble:
            if not left:
                raise RedoneError(
                    f"Nobody answers at {client.url} ({str(trouble) or 'silence'}). Is the server "
                    "running, and is the port right? --base-url is e.g. http://localhost:8000/v1."
                ) from None
        await asyncio.sleep(PAUSE)


async def _refuse_without_v1(client: Client) -> None:
    """Raises if the API begins at /v1 below the given address."""
    if client.url.endswith("/v1"):
        return
    try:
        _models(await client.send(f"{client.url}/v1/models"))
    except (Trouble, Unusable):
        return
    raise RedoneError(f"The API begins at /v1: give --base-url {client.url}/v1")


async def _prove(
    client: Client, model: str, path: str, question: Mapping[str, Any], known: Sequence[str]
) -> None:
    """Asks for one token: a server that has the model gives it."""
    try:
        await client.ask(path, question, _whole)
    except Refused as error:
        unknown = error.status == 404 or (error.status in (400, 422) and "model" in str(error))
        if known and unknown:
            listing = "GET /models of the server lists them."
            raise UnknownName(f"model on {client.url}:", model, known, listing) from None
        raise


async def _version(client: Client) -> str | None:
    try:
        told = (await client.send(f"{client.url.removesuffix('/v1')}/version")).json()
    except (Trouble, Unusable):
        return None
    version = told.get("version") if isinstance(told, Mapping) else None
    return version[:40] if isinstance(version, str) else None


def _whole(reply: Reply, _: float) -> Reply:
    return reply


def _models(reply: Reply) -> list[Mapping[str, Any]]:
    """The entries of a list of models.

    Raises:
        Unusable: It is no such list.
    """
    told = reply.json()
    listed = told.get("data") if isinstance(told, Mapping) else None
    if not isinstance(listed, list):
        raise Unusable("no list of models")
    entries = [m for m in listed if isinstance(m, Mapping)]
    return [m for m in entries if isinstance(m.get("id"), str) and m["id"].isprintable()]

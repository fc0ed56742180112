"""An OpenAI-compatible server that fails in every way a real one does, on loopback.

It keeps count of what it was asked. What it does with the n-th attempt at a request is drawn from a
seeded source, so that a test repeats.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from random import Random

KINDS = (
    "429", "429-after", "429-date", "500", "503", "503-after", "html", "reset", "cut", "drop",
    "silence", "not-json", "no-choices", "empty-choices", "null-choice", "no-text", "aborted",
)  # fmt: skip


def plain_answer(body):
    """What the server's model says: a function of the prompt, so that answers can be told apart."""
    prompt = body.get("messages") or body.get("prompt")
    seed = body.get("seed", "greedy")
    return hashlib.sha256(json.dumps([prompt, seed]).encode()).hexdigest()[:12]


class MisbehavingServer:
    """Use as a context manager; `url` is its address.

    Args:
        faults: Share of attempts that go wrong.
        kinds: What may go wrong.
        key: The key it wants, None for none.
        models: Names that it lists and has.
        answer: body -> (status, decoded body), in place of the usual answer.
        delay: Seconds of work per answer.
        slots: Requests at once; more get 429.
        prefix: Where the API begins.
        owner: `owned_by` of its models.
    """

    def __init__(
        self,
        faults=0.0,
        kinds=KINDS,
        key=None,
        models=("tiny",),
        answer=None,
        delay=0.0,
        slots=None,
        prefix="/v1",
        owner="somebody",
        port=0,
    ):
        self.faults, self.kinds, self.key, self.models = faults, kinds, key, models
        self.answer, self.delay, self.slots = answer, delay, slots
        self.prefix, self.owner, self.port = prefix, owner, port
        self.attempts = Counter()
        self.misbehaved = Counter()
        self.bodies = []
        self.headers = []
        self.under_way = self.most = self.answered = 0
        self.stop_after = None  # answers after which it only breaks connections off
        self.forgive_after = None  # faults after which it makes no more

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._on_loop(self._start())
        return self

    def __exit__(self, *_):
        self._on_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def _on_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self):
        self._writers = set()
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self):
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader, writer):
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the server stops
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split()
        headers = {n.lower(): v.strip() for n, _, v in (h.partition(":") for h in head[1:] if h)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        self.headers.append(headers)
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            shown = headers.get("authorization", "none")
            return await self._send(writer, 401, {"error": {"message": f"wrong key: {shown}"}})
        if method == "GET" and path == f"{self.prefix}/models":
            data = [{"id": m, "object": "model", "owned_by": self.owner} for m in self.models]
            return await self._send(writer, 200, {"object": "list", "data": data})
        if method != "POST" or path not in (
            f"{self.prefix}/chat/completions",
            f"{self.prefix}/completions",
        ):
            return await self._send(writer, 404, {"detail": "Not Found"})
        body = json.loads(content)
        if body["model"] not in self.models:
            message = f"The model `{body['model']}` does not exist."
            return await self._send(writer, 404, {"error": {"message": message}})
        self.bodies.append(body)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self._answer(writer, content, body, chat="messages" in body)
        finally:
            self.under_way -= 1

    async def _answer(self, writer, content, body, chat):
        self.attempts[content] += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.stop_after is not None and self.answered >= self.stop_after:
            writer.transport.abort()
            return False
        if self.slots is not None and self.under_way > self.slots:
            self.misbehaved["429"] += 1
            return await self._send(writer, 429, {"error": {"message": "too many"}})
        random = Random(f"{content!r}{self.attempts[content]}")
        forgiven = self.forgive_after is not None and self.misbehaved.total() >= self.forgive_after
        if not forgiven and random.random() < self.faults:
            kind = random.choice(self.kinds)
            self.misbehaved[kind] += 1
            return await self._misbehave(writer, kind, chat)
        if self.answer:
            status, reply = self.answer(body)
        else:
            status, reply = 200, reply_with(plain_answer(body), chat)
        self.answered += 1
        return await self._send(writer, status, reply)

    async def _misbehave(self, writer, kind, chat):
        good = json.dumps(reply_with("never to be seen", chat)).encode()
        match kind:
            case "429":
                return await self._send(writer, 429, {"error": {"message": "slow down"}})
            case "429-after":
                return await self._send(writer, 429, {}, {"Retry-After": "0.01"})
            case "429-second":
                return await self._send(writer, 429, {}, {"Retry-After": "0.4"})
            case "429-long":
                return await self._send(writer, 429, {}, {"Retry-After": "3600"})
            case "429-date":
                past = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
                return await self._send(writer, 429, {}, past)
            case "500":
                return await self._send(writer, 500, {"error": "out of cheese"})
            case "503":
                return await self._send(writer, 503, b"overloaded")
            case "503-after":
                return await self._send(writer, 503, {}, {"Retry-After": "0"})
            case "html":
                return await self._send(writer, 502, b"<html>Bad Gateway</html>")
            case "reset":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + good[:40])
                await writer.drain()
                writer.transport.abort()
            case "cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + good)
                await writer.drain()
            case "drop":
                pass
            case "silence":
                await asyncio.sleep(3600)
            case "not-json":
                return await self._send(writer, 200, good[:-20])
            case "no-choices":
                return await self._send(writer, 200, {"object": "chat.completion"})
            case "empty-choices":
                return await self._send(writer, 200, {"choices": []})
            case "null-choice":
                return await self._send(writer, 200, {"choices": [None]})
            case "no-text":
                return await self._send(writer, 200, {"choices": [{"message": None}]})
            case "aborted":
                broken = reply_with("never to be", chat, finish="abort")
                return await self._send(writer, 200, broken)
        return False

    async def _send(self, writer, status, content, headers=()):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await writer.drain()
        return True


def reply_with(text, chat=True, finish="stop", **message):
    """The body of a good answer."""
    choice = {"index": 0, "finish_reason": finish}
    choice |= (
        {"message": {"role": "assistant", "content": text, **message}} if chat else {"text": text}
    )
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}

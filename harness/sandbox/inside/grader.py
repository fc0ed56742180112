"""The process of the tests: requests values from the program's process, and grades them itself.

The program never runs here, so it cannot read the tests, shadow a built-in, replace `assert`'s
exception, leave before the end, or write the verdict.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
import traceback
from collections.abc import Callable
from typing import Any

from .protocol import decode, encode, overwrite, receive, send

BUILTINS = frozenset(vars(builtins))


class Ended(BaseException):
    """The conversation is over before the tests are: `reason` as in `Outcome.reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Link:
    """The conversation with the program's process.

    Attributes:
        names: Module-level names of the program, and the module that a name refers to or "".
        calls: How often a test called into the program.
        ended: Why nothing more can be requested, None while it can.
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self.calls = 0
        self.ended: Ended | None = None
        self.names: dict[str, str] = {}
        reply = self._receive()
        if "raised" in reply:
            kind, text = str(reply["raised"]), str(reply.get("text"))
            reasons = {"SystemExit": "exit", "KeyboardInterrupt": "exit", "MemoryError": "memory"}
            reason = "syntax" if kind in _UNREADABLE else reasons.get(kind, "error")
            raise self._over(reason, f"the program itself: {reply.get('type')}: {text}")
        names = reply.get("names")
        if not isinstance(names, dict):
            raise self._over("crash", "the program's process answered out of turn")
        self.names = {str(name): str(kind) for name, kind in names.items()}

    def ask(self, do: str, *args: Any, **kwargs: Any) -> Any:
        """The program's answer.

        Raises:
            Exception: What the program raised, as the built-in type of that name.
            Ended: There is no program to ask any more.
        """
        if self.ended:
            raise self.ended
        try:
            question = {"do": do, "args": _plain(args)["tuple"], "kwargs": _plain(kwargs)}
        except (Exception, RecursionError) as error:
            raise Unaskable(f"the tests hand over what cannot cross: {error}") from None
        try:
            send(self._channel, question)
        except OSError:
            raise self._over("exit", "the program's process ended") from None
        self.calls += do == "call"
        reply = self._receive()
        if "raised" in reply:
            self._reraise(reply)
        try:
            for index, new in reply.get("changed", {}).items():
                overwrite(args[int(index)], decode(new, self.resolve))
            return decode(reply["value"], self.resolve)
        except MemoryError:
            raise self._over("memory", "a value too large") from None
        except Exception as error:
            raise self._over("crash", f"an answer that is no value: {error}") from None

    def resolve(self, data: Any) -> Any:
        return Remote(self, int(data["ref"]))

    def _receive(self) -> dict[str, Any]:
        try:
            reply = receive(self._channel)
        except (EOFError, OSError):
            raise self._over("exit", "the program's process ended") from None
        except MemoryError:
            raise self._over("memory", "a value too large") from None
        except (ValueError, RecursionError) as error:
            raise self._over("crash", f"an answer that is no value: {error}") from None
        if not isinstance(reply, dict):
            raise self._over("crash", "an answer that is no value")
        return reply

    def _reraise(self, reply: dict[str, Any]) -> None:
        name, text = str(reply["raised"]), str(reply.get("text"))
        kind = vars(builtins).get(name)
        if name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
            raise self._over("exit", f"{name}: {text}")
        if name == "MemoryError":
            raise self._over("memory", "MemoryError in the program")
        if isinstance(kind, type) and issubclass(kind, Exception):
            try:
                error = kind(text)
            except TypeError:  # UnicodeDecodeError and its like want more than a text
                error = Exception(text)
            raise error
        raise Exception(f"{name}: {text}")

    def _over(self, reason: str, detail: str) -> Ended:
        self.ended = Ended(reason, detail)
        return self.ended


class Unaskable(Exception):
    """A test hands the program something that cannot cross, such as a function."""


_UNREADABLE = frozenset({"SyntaxError", "IndentationError", "TabError"})


class Remote:
    """An object of the program that is no plain data: a function, class, instance, generator.

    It never equals anything of the tests' own, whatever it says about itself.
    """

    __slots__ = ("_link", "_number")

    def __init__(self, link: Link, number: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._link.ask("call", self, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._link.ask("attr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self, key)

    def __len__(self) -> int:
        return self._link.ask("len", self)

    def __iter__(self) -> Any:
        return self._link.ask("iter", self)

    def __next__(self) -> Any:
        return self._link.ask("next", self)

    def __bool__(self) -> bool:
        return bool(self._link.ask("bool", self))

    def __str__(self) -> str:
        return str(self._link.ask("str", self))

    def __deepcopy__(self, memo: Any) -> Any:
        return self._link.ask("deepcopy", self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and bool(self._link.ask("eq", self, other))

    def __hash__(self) -> int:
        return hash(self._number)


def _plain(value: Any) -> Any:
    def refer(thing: Any) -> Any:
        if isinstance(thing, Remote):
            return {"ref": thing._number}
        raise Unaskable(f"a {type(thing).__name__}")

    return encode(value, refer)


class Names(dict):
    """The global names of the tests: their own first, then Python's, then the program's.

    A task may require a function with a built-in's name (MBPP has one called `sum`). The
    program's is meant only if the tests use nothing else of the program; otherwise a program could
    shadow `sorted` or `abs` and so grade itself.
    """

    def __init__(self, link: Link, used: set[str]) -> None:
        super().__init__(__name__="tests", __builtins__=builtins)
        self._link = link
        self._shadows = not any(n in link.names and n not in BUILTINS for n in used)

    def __missing__(self, name: str) -> Any:
        known = self._link.names
        if name not in known or (name in BUILTINS and not self._shadows):
            raise KeyError(name)
        if module := known[name]:
            # Both sides have the same library: the tests use their own copy, which is untouched.
            if module.partition(".")[0] not in sys.stdlib_module_names:
                raise KeyError(name)
            return importlib.import_module(module)
        return self._link.ask("name", name)


def names_used(tests: ast.Module) -> set[str]:
    """The names that the tests read and do not bind."""
    read, bound = set(), set()
    for node in ast.walk(tests):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                bound.add(name)
            case ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias():
                bound.add((node.asname or node.name).partition(".")[0])
    return read - bound


def grade(channel: int, tests: str) -> dict[str, Any]:
    """Runs the tests against the program at the other end.

    Args:
        channel: A socket to the program's process.
        tests: Python source; raises if a test fails.

    Returns:
        `reason` (None: all tests ran to their end and none failed) and `detail`.
    """
    try:
        tree = ast.parse(tests, "tests.py")
        code: Any = compile(tree, "tests.py", "exec")
    except (SyntaxError, ValueError) as error:
        return {"reason": "tests", "detail": f"the tests are no Python: {error}"}
    link: Link | None = None
    failure: BaseException | None = None
    try:
        link = Link(channel)
        execute: Callable[..., None] = exec
        execute(code, Names(link, names_used(tree)))
    except BaseException as error:
        failure = error
    # Tests may swallow exceptions; a broken conversation is a failure all the same.
    ended = failure if isinstance(failure, Ended) else link.ended if link else None
    if ended:
        return {"reason": ended.reason, "detail": str(ended)}
    if isinstance(failure, AssertionError):
        return {"reason": "failed", "detail": f"{_line(failure, tests)} {failure}".strip()}
    if isinstance(failure, MemoryError):
        return {"reason": "memory", "detail": "MemoryError in the tests"}
    if isinstance(failure, Unaskable):
        return {"reason": "tests", "detail": str(failure)}
    if failure is not None:
        error = f"{type(failure).__name__}: {failure}"
        return {"reason": "error", "detail": f"{error} ({_line(failure, tests)})"}
    if not link or not link.calls:
        return {"reason": "tests", "detail": "no test called the program"}
    return {"reason": None, "detail": ""}


def _line(error: BaseException, tests: str) -> str:
    """The line of the tests that the exception came through last."""
    lines, frames = tests.splitlines(), traceback.extract_tb(error.__traceback__)
    number = next((f.lineno for f in reversed(frames) if f.filename == "tests.py"), None)
    return lines[number - 1].strip() if number and number <= len(lines) else ""

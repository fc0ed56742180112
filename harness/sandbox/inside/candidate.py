"""The process of the untrusted program: runs it, then answers what the tests ask.

Nothing here can be trusted once the program runs, and nothing needs to be: this process holds no
secret, does not know the tests, and gives no verdict. It can only send values.
"""

from __future__ import annotations

import copy
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

from .protocol import NotPlain, decode, encode, receive, same, send

OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, *args, **kwargs: function(*args, **kwargs),
    "attr": getattr,
    "set": setattr,
    "item": operator.getitem,
    "len": len,
    "iter": iter,
    "next": next,
    "bool": bool,
    "str": str,
    "eq": operator.eq,
    "deepcopy": copy.deepcopy,
}


class Objects:
    """The objects that the other side knows by number."""

    def __init__(self) -> None:
        self._objects: list[Any] = []

    def refer(self, value: Any) -> Any:
        self._objects.append(value)
        return {"ref": len(self._objects) - 1}

    def resolve(self, data: Any) -> Any:
        return self._objects[data["ref"]]


def run(channel: int, program: str) -> None:
    """Runs the program as the module `program`; answers questions until the channel closes.

    Args:
        channel: A socket to the process of the tests.
        program: Python source.
    """
    module = types.ModuleType("program")
    sys.modules["program"] = module
    objects = Objects()
    try:
        code = compile(program, "program.py", "exec")
    except MemoryError as error:
        send(channel, raised(error))
        return
    except Exception as error:  # which one, for a null byte or half a character, varies
        send(channel, {**raised(error), "raised": "SyntaxError"})
        return
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        send(channel, raised(error))
        return
    # The name of the module that a value is, "" for any other value.
    names = {
        name: value.__name__ if isinstance(value, types.ModuleType) else ""
        for name, value in list(vars(module).items())
    }
    send(channel, {"names": names})
    while True:
        question = receive(channel)
        send(channel, answer(question, vars(module), objects))


def answer(question: Any, names: dict[str, Any], objects: Objects) -> Any:
    """The reply to one question: a value, or what was raised."""
    try:
        args = decode(question["args"], objects.resolve)
        kwargs = decode(question["kwargs"], objects.resolve)
        operation = question["do"]
        if operation == "name":
            return {"value": encoded(names[args[0]], objects)}
        value = OPERATIONS[operation](*args, **kwargs)
        reply = {"value": encoded(value, objects)}
        # Tests may look at a list that the function was to change in place.
        mutable = list | dict | set | bytearray
        after = [encoded(arg, objects) if isinstance(arg, mutable) else None for arg in args]
        changed = {
            str(i): new
            for i, (new, old) in enumerate(zip(after, question["args"], strict=True))
            if new is not None and not same(new, old)
        }
        return {**reply, "changed": changed} if changed else reply
    except BaseException as error:
        return raised(error)


def encoded(value: Any, objects: Objects) -> Any:
    """A value as plain data if it can be, else as a reference."""
    try:
        return encode(value, objects.refer)
    except (NotPlain, RuntimeError):
        return objects.refer(value)


def raised(error: BaseException) -> Any:
    """An exception by the name of the nearest built-in type."""
    kind = next(k for k in type(error).__mro__ if k.__module__ == "builtins")
    try:
        text = str(error)
    except BaseException:
        text = ""
    return {"raised": kind.__name__, "type": type(error).__name__, "text": text[:2000]}

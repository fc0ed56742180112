"""Reads the prompts out of an OpenCompass configuration file without running it.

Such a file is a Python program. It is parsed, and only what is a plain literal is taken: a program
from the network is never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .schema import Prompt


def prompts_in(source: str) -> dict[str, Prompt]:
    """The prompts of a configuration, by the `name` of the data set that uses them.

    Args:
        source: The text of the file: assignments of templates, `dict(begin=[...], round=[...])`,
            each followed by lists of data sets, `[dict(name=..., infer_cfg=dict(...))]`, that name
            one. A name can be assigned again; the data sets before it keep the earlier template.

    Raises:
        ValueError: It is no Python, or a prompt in it is not a literal.
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not readable as Python: {error}") from None
    templates: dict[str, Prompt] = {}
    found: dict[str, Prompt] = {}
    for statement in body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        value = statement.value
        if isinstance(value, ast.Call) and _argument(value, "round") is not None:
            templates[statement.targets[0].id] = _template(value)
        elif isinstance(value, ast.List):
            for entry in value.elts:
                name = _argument(entry, "name")
                used = next(
                    (v for v in _values(entry, "template") if isinstance(v, ast.Name)), None
                )
                if name is not None and used is not None and used.id in templates:
                    found[_text(name)] = templates[used.id]
    return found


def _template(call: ast.Call) -> Prompt:
    texts = {"SYSTEM": "", "HUMAN": ""}
    for part in ("begin", "round"):
        turns = _argument(call, part)
        for turn in turns.elts if isinstance(turns, ast.List) else []:
            role, prompt = _argument(turn, "role"), _argument(turn, "prompt")
            if role is not None and prompt is not None and _text(role) in texts:
                texts[_text(role)] += _text(prompt)
    return Prompt(texts["SYSTEM"], texts["HUMAN"])


def _argument(node: ast.AST, name: str) -> ast.expr | None:
    if not isinstance(node, ast.Call):
        return None
    return next((k.value for k in node.keywords if k.arg == name), None)


def _values(node: ast.AST, name: str) -> Iterator[ast.expr]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.keyword) and inner.arg == name:
            yield inner.value


def _text(node: ast.expr) -> str:
    """A string literal, an f-string without places, or a sum of such."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    raise ValueError(
        f"line {node.lineno}: a literal text is expected, not {ast.unparse(node)[:60]!r}"
    )

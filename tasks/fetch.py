"""Downloads published data sets into the user's data folder.

A file is written to `NAME.part` and renamed when its size and hash are right, so a file under its
final name is complete. An interrupted download leaves a `.part`; the next run resumes from there if
the server can (HTTP Range), and starts over if not.

The authors of SNS-Bench publish their prompts, limits and sampling in OpenCompass configuration
files, which are Python programs. They are parsed, and only plain literals are taken: a program from
the network is never executed.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .datasets import DataFile, Dataset, PublishedGeneration, PublishedPrompts
from .errors import RedoneError
from .task import Prompt

if TYPE_CHECKING:
    import httpx

ATTEMPTS = 4
"""Tries for one file when the connection breaks; each resumes where the last one stopped."""

_CONFIGURATION_LIMIT = 1 << 20
_NOT_OURS = (
    "it is not the file that this version expects, and was not kept. Update redone, or use a copy "
    "of the right file with --data-dir."
)


class FetchFailed(RedoneError):
    """A download that did not succeed; nothing wrong is left under a data file's name."""

    exit_code = 69


class Broken(Exception):
    """The connection failed in a way that another try may fix."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result for one data set.

    Attributes:
        downloaded: Paths of files that were downloaded.
        present: Paths of files that were complete already.
        notes: For the user.
    """

    downloaded: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Progress = Callable[[str, int], None]
"""Called with a file's path and the bytes that it has now."""


def fetch(
    dataset: Dataset,
    folder: Path,
    *,
    mirror: str | None = None,
    progress: Progress = lambda path, size: None,
    pause: float = 1.0,
) -> Fetched:
    """Completes a data set in a data folder.

    Args:
        dataset: What to fetch.
        folder: The data folder; made if it does not exist.
        mirror: URL of a copy of a data folder, in place of the authors' servers.
        progress: Called as bytes of each file arrive.
        pause: Seconds before a second try; doubled before each further one.

    Raises:
        FetchFailed: No network, no such file, a wrong size or hash, or a full disk. What was right
            so far is kept.
    """
    import httpx

    done = Fetched()
    with httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(30.0, connect=15.0),
        headers={"Accept-Encoding": "identity", "User-Agent": "redone"},
    ) as client:
        for file in dataset.files:
            target = folder / file.path
            if is_right(target, file):
                done.present.append(file.path)
                progress(file.path, file.size)
                continue
            with _writable(target):
                url = _url(mirror, file.path) if mirror else _url(dataset.url, file.upstream)
                _download(client, url, target, file, progress, pause)
            done.downloaded.append(file.path)
        if dataset.prompts:
            _fetch_protocol(client, dataset.url, dataset.prompts, folder, mirror, done, pause)
    return done


def is_right(path: Path, file: DataFile) -> bool:
    """Whether a path holds that very file."""
    same_size = path.is_file() and path.stat().st_size == file.size
    return same_size and _sha256(path) == file.sha256


def _url(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{quote(path)}"


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def _writable(target: Path) -> Iterator[None]:
    """Turns errors of the disk into messages."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchFailed(
                f"No space left while writing {target}. Free some, or name another folder with "
                "--data-dir, and rerun the same command: it resumes from here."
            ) from None
        raise FetchFailed(f"{target} cannot be written: {error.strerror or error}.") from None


def _download(
    client: httpx.Client, url: str, target: Path, file: DataFile, progress: Progress, pause: float
) -> None:
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            _continue(client, url, part, file, progress)
        except Broken as error:
            problem = str(error)
            continue
        found = _sha256(part)
        if found == file.sha256:
            os.replace(part, target)
            return
        part.unlink()
        if not resumed:
            raise FetchFailed(
                f"{url} has the SHA-256 {found[:16]}…, expected is {file.sha256[:16]}…: {_NOT_OURS}"
            )
        # The beginning came from an earlier run, perhaps of another file: once more from nothing.
        resumed = False
    kept = part.stat().st_size if part.exists() else 0
    raise FetchFailed(
        f"{url} could not be fetched: {problem or 'wrong content'}. {kept} of {file.size} bytes "
        "are saved: rerun the same command to resume."
    )


def _continue(
    client: httpx.Client, url: str, part: Path, file: DataFile, progress: Progress
) -> None:
    """Downloads the rest of a part; its content is not checked here."""
    import httpx

    have = part.stat().st_size if part.exists() else 0
    if have == file.size:
        return
    have = have if have < file.size else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == 416:
                part.unlink(missing_ok=True)
                raise Broken(f"the server's file ends at byte {have} of {file.size}")
            _expect_success(response, url)
            stated = response.headers.get("Content-Range", "")
            resumes = response.status_code == 206 and stated.startswith(f"bytes {have}-")
            start = have if resumes else 0
            with part.open("r+b" if start else "wb") as output:
                output.seek(start)
                output.truncate()
                for chunk in response.iter_bytes():
                    start += len(chunk)
                    if start > file.size:
                        break
                    output.write(chunk)
                    progress(file.path, start)
    except httpx.UnsupportedProtocol:
        raise FetchFailed(
            f"{url!r} is not a web address: http:// or https:// is expected."
        ) from None
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise Broken(_reason(error)) from None
    if start > file.size:
        part.unlink()
        raise FetchFailed(f"{url} is longer than {file.size} bytes: {_NOT_OURS}")
    if start < file.size:
        raise Broken(f"the connection ended at byte {start} of {file.size}")


def _expect_success(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    if status == 429 or status >= 500:
        raise Broken(f"the server answered {status} {response.reason_phrase}")
    raise FetchFailed(
        f"{url}: the server answered {status} {response.reason_phrase}. The file may have moved: "
        "update redone, name a mirror with --base-url, or use a copy with --data-dir."
    )


def _reason(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return f"no connection or a broken one ({text})"


# --- how the authors ask -------------------------------------------------------------------------


def _fetch_protocol(
    client: httpx.Client,
    upstream: str,
    prompts: PublishedPrompts,
    folder: Path,
    mirror: str | None,
    done: Fetched,
    pause: float,
) -> None:
    """Writes the authors' prompts and settings as JSON; the data set is complete without them."""
    texts: list[str] = []

    def configurations() -> list[str]:
        if not texts:
            base = f"{upstream}/{prompts.upstream}"
            texts.extend(_text(client, _url(base, name), pause) for name in prompts.configurations)
        return texts

    def wanted_prompts() -> tuple[Any, Any]:
        found = published_prompts(prompts, iter(configurations()))
        return found, found

    def wanted_generation(wanted: PublishedGeneration) -> tuple[Any, Any]:
        example = _text(client, _url(upstream, wanted.example), pause) if wanted.example else ""
        found = published_generation(wanted, configurations(), example)
        return {"source": f"{upstream}, {prompts.upstream}"} | found, found["by_abbr"]

    parts = [(prompts.path, prompts.sha256, "prompts", wanted_prompts)]
    if (own := prompts.generation) is not None:
        parts.append((own.path, own.sha256, "limits", lambda: wanted_generation(own)))
    for path, sha256, what, make in parts:
        target = folder / path
        if target.is_file():
            done.present.append(path)
            continue
        try:
            if mirror:
                content = json.loads(_text(client, _url(mirror, path), pause))
                known = content if what == "prompts" else content["by_abbr"]
            else:
                content, known = make()
            packed = json.dumps(known, sort_keys=True, ensure_ascii=False)
        except (FetchFailed, Broken, ValueError, LookupError, TypeError, RecursionError) as error:
            done.notes.append(
                f"The authors' own {what} could not be downloaded ({error}). Only --protocol "
                "official needs them: without it evaluation uses this project's."
            )
            continue
        part = target.with_name(target.name + ".part")
        with _writable(target):
            part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
            os.replace(part, target)
        done.downloaded.append(path)
        if hashlib.sha256(packed.encode()).hexdigest() != sha256:
            done.notes.append(
                f"{target} differs from the {what} known to this version: the authors have changed "
                "them. The hashes in each score's signature distinguish such runs."
            )


def published_prompts(
    prompts: PublishedPrompts, sources: Iterator[str]
) -> dict[str, dict[str, str]]:
    """The prompts of configuration files under the names of the table.

    Args:
        prompts: Which names are expected.
        sources: The texts of the files.

    Raises:
        ValueError: A file cannot be read as literals, or a prompt is missing.
    """

    def plain(name: str) -> str:
        return "".join(c for c in name.casefold() if c.isalnum())

    found = {plain(n): p for source in sources for n, p in prompts_in(source).items()}
    absent = [name for name in prompts.names if plain(name) not in found]
    if absent:
        raise ValueError(f"no prompt for {', '.join(absent)} in the configuration")
    return {name: asdict(found[plain(name)]) for name in prompts.names}


def published_generation(
    wanted: PublishedGeneration, sources: Iterable[str], example: str = ""
) -> dict[str, Any]:
    """The limits and the sampling of configuration files.

    Args:
        wanted: Which subtasks are expected.
        sources: The texts of the files.
        example: The text of the example run's configuration, "" for none.

    Returns:
        `by_abbr`: subtask -> `max_out_len` and `extra_gen_kwargs`, as the files have them;
        `example`: settings of the model in the example run.

    Raises:
        ValueError: A file cannot be read as literals, or the limit of a subtask is missing.
    """
    found = {abbr: made for source in sources for abbr, made in generation_in(source).items()}
    absent = [abbr for abbr in wanted.names.values() if "max_out_len" not in found.get(abbr, {})]
    if absent:
        raise ValueError(f"no max_out_len for {', '.join(absent)} in the configuration")
    by_abbr = {abbr: found[abbr] for abbr in wanted.names.values()}
    return {"by_abbr": by_abbr} | ({"example": example_in(example)} if example else {})


def _text(client: httpx.Client, url: str, pause: float) -> str:
    import httpx

    for attempt in range(2):
        try:
            response = client.get(url)
            _expect_success(response, url)
            break
        except (httpx.TransportError, httpx.DecodingError) as error:
            if attempt:
                raise Broken(f"{url}: {_reason(error)}") from None
            time.sleep(pause)
    if len(response.content) > _CONFIGURATION_LIMIT:
        raise ValueError(f"{url} is far too long for a file of prompts")
    return response.content.decode("utf-8")


def prompts_in(source: str) -> dict[str, Prompt]:
    """The prompts of a configuration, by the `name` of the data set that uses them.

    Args:
        source: The text of the file: assignments of templates, `dict(begin=[...], round=[...])`,
            each followed by lists of data sets, `[dict(name=..., infer_cfg=dict(...))]`, that name
            one. A name can be assigned again; the data sets before it keep the earlier template.

    Raises:
        ValueError: It is no Python, or a prompt in it is not a literal.
    """
    body = _parsed(source)
    templates: dict[str, Prompt] = {}
    found: dict[str, Prompt] = {}
    for statement in body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        value = statement.value
        if _argument(value, "round") is not None:
            templates[statement.targets[0].id] = _template(value)
        for entry in value.elts if isinstance(value, ast.List) else ():
            name = _argument(entry, "name")
            used = (
                inner.value.id
                for inner in ast.walk(entry)
                if isinstance(inner, ast.keyword)
                and inner.arg == "template"
                and isinstance(inner.value, ast.Name)
            )
            template = templates.get(next(used, ""))
            if name is not None and template is not None:
                found[_literal(name)] = template
    return found


def generation_in(source: str) -> dict[str, dict[str, Any]]:
    """Limits and sampling of a configuration, by the `abbr` of the data set that has them.

    Args:
        source: The text of the file: lists of data sets, `[dict(abbr=..., infer_cfg=dict(...,
            inferencer=dict(max_out_len=..., extra_gen_kwargs=dict(...))))]`.

    Raises:
        ValueError: It is no Python, or one of these values is not a literal.
    """
    found: dict[str, dict[str, Any]] = {}
    for statement in _parsed(source):
        value = statement.value if isinstance(statement, ast.Assign) else None
        for entry in value.elts if isinstance(value, ast.List) else ():
            abbr = _argument(entry, "abbr")
            calls = (_argument(inner, "inferencer") for inner in ast.walk(entry))
            inferencer = next((call for call in calls if call is not None), None)
            if abbr is not None and inferencer is not None:
                wanted = ("max_out_len", "extra_gen_kwargs")
                found[_literal(abbr)] = _settings(inferencer, wanted)
    return found


def example_in(source: str) -> dict[str, Any]:
    """How the first model of an example run generates: sampling, and its own limits.

    Args:
        source: The text of the file, with `models = [dict(generation_kwargs=dict(...), ...)]`.

    Raises:
        ValueError: It is no Python, has no such model, or one of these values is not a literal.
    """
    for statement in _parsed(source):
        value = statement.value if isinstance(statement, ast.Assign) else None
        for entry in value.elts if isinstance(value, ast.List) else ():
            sampling = _argument(entry, "generation_kwargs")
            if sampling is not None:
                limits = _settings(entry, ("max_out_len", "max_seq_len"))
                return {**_values(sampling), **limits}
    raise ValueError("the example run has no generation_kwargs")


def _parsed(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not readable as Python: {error}") from None


def _settings(call: ast.expr, names: Iterable[str]) -> dict[str, Any]:
    """The named arguments of a call, as far as it has them."""
    found = ((name, _argument(call, name)) for name in names)
    return {name: _values(node) for name, node in found if node is not None}


def _values(node: ast.expr) -> Any:
    """A literal, or a `dict(...)` of literals."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {word.arg: _values(word.value) for word in node.keywords if word.arg}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        raise ValueError(
            f"line {node.lineno}: a literal is expected, not {ast.unparse(node)[:60]!r}"
        ) from None


def _template(call: ast.expr) -> Prompt:
    texts = {"SYSTEM": "", "HUMAN": ""}
    for part in ("begin", "round"):
        turns = _argument(call, part)
        for turn in turns.elts if isinstance(turns, ast.List) else []:
            role, prompt = _argument(turn, "role"), _argument(turn, "prompt")
            if role is not None and prompt is not None and _literal(role) in texts:
                texts[_literal(role)] += _literal(prompt)
    return Prompt(texts["SYSTEM"], texts["HUMAN"])


def _argument(node: ast.AST, name: str) -> ast.expr | None:
    """An argument of a call, None if the node is no call or has none of this name."""
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((k.value for k in keywords if k.arg == name), None)


def _literal(node: ast.expr) -> str:
    """A string literal, an f-string without places, or a sum of such."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _literal(node.left) + _literal(node.right)
    raise ValueError(
        f"line {node.lineno}: a literal text is expected, not {ast.unparse(node)[:60]!r}"
    )

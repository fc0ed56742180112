"""The offline environment of lm-eval's tasks: mirrors for the hub, nothing from the network.

lm-eval's task modules load data sets when they are built, and some fetch more when they are merely
imported. Inside `offline_lm_eval` the data sets come from mirrors (then from the hub's cache or the
hub itself), the metric `code_eval` is replaced by our sandbox, NLTK downloads nothing, and the
random state is the one that lm-eval's evaluation starts from.

The original `code_eval` (Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
arXiv:2107.03374) is fetched from the hub when a task module is imported, and runs what a model
wrote in processes of this user. lm-eval's tasks see the same interface here; programs run in the
sandbox that the caller supplies, and nowhere else.
"""

from __future__ import annotations

import logging
import math
import random
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from ..errors import MissingData, RedoneError
from ..schema import Sandbox
from ..sources import MIRROR_VARIABLE
from .mirror import Mirror, load

SEEDS = (0, 1234)
"""Of `random` and numpy, lm-eval's defaults."""

LOCAL = frozenset({"json", "csv", "parquet", "arrow", "text", "pandas"})
"""Names under which `datasets` reads local files."""

PUNKT_INSTRUCTIONS = frozenset(
    {"length_constraints:number_sentences", "change_case:capital_word_frequency"}
)
"""IFEval's instructions that cannot be checked without NLTK's punkt_tab."""


@contextmanager
def offline_lm_eval(mirrors: Sequence[Mirror], *, complete: bool = False) -> Iterator[None]:
    """lm-eval's tasks can be imported and built inside.

    Args:
        mirrors: Searched in order.
        complete: Keep items that cannot be scored here.

    Raises:
        RedoneError: lm-eval is not installed.
    """
    modules = _modules()
    import numpy as np

    state, numpy_state = random.getstate(), np.random.get_state()
    quiet = logging.getLogger("lm_eval")
    level = quiet.level
    with ExitStack() as stack:
        stack.enter_context(
            patch.object(
                modules["datasets"],
                "load_dataset",
                _loader(mirrors, modules["datasets"].load_dataset, complete),
            )
        )
        if "nltk" in modules:
            stack.enter_context(nltk_data(nltk_folders(mirrors)))
            stack.enter_context(patch.object(modules["nltk"], "download", lambda *_, **__: False))
        stack.enter_context(_in_place_of("evaluate", _evaluate()))
        random.seed(SEEDS[0])
        np.random.seed(SEEDS[1])
        quiet.setLevel(logging.ERROR)
        modules["datasets"].disable_progress_bars()
        try:
            yield
        finally:
            quiet.setLevel(level)
            random.setstate(state)
            np.random.set_state(numpy_state)
            modules["datasets"].enable_progress_bars()


def nltk_folders(mirrors: Sequence[Mirror]) -> tuple[str, ...]:
    """The folders of NLTK's data that mirrors have."""
    return tuple(str(m.nltk) for m in mirrors if m.nltk is not None and m.nltk.is_dir())


@contextmanager
def nltk_data(folders: Sequence[str]) -> Iterator[None]:
    """NLTK, where it has been imported, finds its data in these folders first."""
    nltk = sys.modules.get("nltk")
    if nltk is None or not folders:
        yield
        return
    with patch.object(nltk.data, "path", [*folders, *nltk.data.path]):
        yield


@contextmanager
def _in_place_of(name: str, module: ModuleType) -> Iterator[None]:
    """Imports of a name get this module."""
    # Not `patch.dict`: at its end it would forget everything that was imported inside.
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


def _modules() -> dict[str, Any]:
    from importlib import import_module

    try:
        found = {name: import_module(name) for name in ("lm_eval.tasks", "datasets")}
    except ImportError as error:
        raise RedoneError(
            f"lm-eval's tasks need the package {error.name}: pip install 'redone[general]'."
        ) from None
    with suppress(ImportError):
        found["nltk"] = import_module("nltk")
    return found


def _loader(
    mirrors: Sequence[Mirror], original: Callable[..., Any], complete: bool
) -> Callable[..., Any]:
    def load_dataset(path: str, name: str | None = None, *args: Any, **options: Any) -> Any:
        if path in LOCAL or Path(path).exists():
            return original(path, name, *args, **options)
        split, rows = options.get("split"), load(mirrors, path, name)
        if rows is None:
            dataset = _from_hub(original, path, name, args, options)
        else:
            dataset = as_dataset(rows)
            if split is not None and str(split) not in dataset:
                raise MissingData(
                    f"The mirror of {dataset_name(path, name)} has no split {str(split)!r}, only "
                    f"{', '.join(dataset)}."
                )
            dataset = dataset if split is None else dataset[str(split)]
        return _without_punkt(dataset) if path == "google/IFEval" and not complete else dataset

    return load_dataset


def as_dataset(rows: dict[str, list[dict]]) -> Any:
    """A data set like the hub's: in a file, so that `map` over it is computed once."""
    import datasets

    folder = _scratch() / f"{len(list(_scratch().iterdir()))}"
    found = datasets.DatasetDict(
        {split: datasets.Dataset.from_list(each) for split, each in rows.items()}
    )
    found.save_to_disk(str(folder))
    return datasets.load_from_disk(str(folder))


@cache
def _scratch() -> Path:
    import atexit

    folder = tempfile.TemporaryDirectory(prefix="redone-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _from_hub(
    original: Callable[..., Any], path: str, name: str | None, args: tuple, options: dict
) -> Any:
    answers = _hub_answers()
    with ExitStack() as stack:
        if not answers:  # the client would try again for half a minute; its cache is read
            from huggingface_hub import constants

            for module in (constants, sys.modules["datasets"].config):
                stack.enter_context(patch.object(module, "HF_HUB_OFFLINE", True))
        try:
            return original(path, name, *args, **options)
        except RedoneError:
            raise
        except Exception as error:
            # The hub's client raises many types for "no network", "gated" and "not found".
            if not answers and "OfflineMode" in str(error):
                error = ConnectionError(f"it does not answer within {HUB_SECONDS:g} s")
            raise MissingData(unreachable(path, name, error)) from None


HUB_SECONDS = 2.0
"""How long the hub may take to answer before only its cache on this machine is read."""


@cache
def _hub_answers() -> bool:
    """Whether the hub answers at all, through the user's proxies.

    It is asked in a thread, because looking up its address may hang.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return True  # the client knows already
    answered = threading.Event()

    def look() -> None:
        with suppress(Exception):  # of several HTTP libraries
            get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
            answered.set()
        finished.set()

    finished = threading.Event()
    threading.Thread(target=look, daemon=True).start()
    finished.wait(HUB_SECONDS)
    return answered.is_set()


def unreachable(path: str, name: str | None, error: BaseException) -> str:
    """The message for a data set that is in no mirror and that the hub does not deliver."""
    text = f"{type(error).__name__}: {error}"
    if "gated" in text.lower() or "401" in text or "authenticated" in text.lower():
        way = (
            f"It is gated: accept its terms at https://huggingface.co/datasets/{path} and log in "
            "(`hf auth login`, or $HF_TOKEN)"
        )
    else:
        way = "On a machine with internet access"
    return (
        f"The data set {dataset_name(path, name)} is in no mirror, and the hub does not deliver it "
        f"({text.splitlines()[0][:160]}). {way}, run `redone tasks mirror DIR` with the task's "
        f"name, copy DIR here, and name it: --mirror DIR or ${MIRROR_VARIABLE}."
    )


def dataset_name(path: str, name: str | None) -> str:
    """A data set for messages."""
    return f"{path} ({name})" if name else path


def _evaluate() -> ModuleType:
    """Replaces the package `evaluate`, whose import alone takes seconds (it imports torch)."""

    def load_metric(path: str, *_: Any, **__: Any) -> Any:
        if path == "code_eval":
            return CodeEval()
        raise MissingData(
            f"The task's metric {path!r} is fetched as code from the hub (`evaluate.load`), which "
            "is not done here. Choose another task, or score with lm-eval itself."
        )

    module = ModuleType("evaluate")
    module.__dict__["load"] = load_metric
    return module


def has_punkt() -> bool:
    """Whether NLTK can split sentences."""
    try:
        import nltk

        nltk.data.find("tokenizers/punkt_tab")
    except (ImportError, LookupError):
        return False
    return True


def _without_punkt(dataset: Any) -> Any:
    """IFEval, less the items that cannot be scored where NLTK's punkt_tab is missing."""
    if has_punkt():
        return dataset

    def scorable(row: dict[str, Any]) -> bool:
        return not PUNKT_INSTRUCTIONS & set(row["instruction_id_list"])

    kept = dataset.filter(scorable)
    before, after = (sum(map(len, d.values())) for d in (dataset, kept))
    warnings.warn(
        f"IFEval: {before - after} of {before} items are left out: "
        f"{', '.join(sorted(PUNKT_INSTRUCTIONS))} need NLTK's punkt_tab. Put it into the mirror "
        "(`redone tasks mirror` does), then all are scored.",
        stacklevel=2,
    )
    return kept


# --- code_eval -----------------------------------------------------------------------------------

SECONDS = 3.0
"""Time limit of a program, as in the original `code_eval`."""

_SANDBOX: ContextVar[Sandbox | None] = ContextVar("sandbox", default=None)


@contextmanager
def programs_run_in(sandbox: Sandbox) -> Iterator[None]:
    """`CodeEval` runs programs in this sandbox."""
    token = _SANDBOX.set(sandbox)
    try:
        yield
    finally:
        _SANDBOX.reset(token)


class CodeEval:
    """The interface of `evaluate.load("code_eval")`."""

    def compute(
        self,
        references: Sequence[str],
        predictions: Sequence[Sequence[str]],
        k: Sequence[int] = (1, 10, 100),
        **_: object,
    ) -> tuple[dict[str, float], dict[int, list]]:
        """pass@k over problems.

        Args:
            references: The tests of each problem.
            predictions: Its candidate programs.
            k: Of pass@k; left out where a problem has fewer candidates.

        Returns:
            The scores by name, and an empty mapping in place of the original's logs. Without a
            sandbox nothing is run and nothing passes: task modules try the metric when they are
            imported.
        """
        sandbox = _SANDBOX.get()
        counts = [
            (
                len(programs),
                sum(sandbox.run(each, tests, seconds=SECONDS).passed for each in programs)
                if sandbox
                else 0,
            )
            for programs, tests in zip(predictions, references, strict=True)
        ]
        figures = {
            f"pass@{n}": math.fsum(_pass_at(n, total, right) for total, right in counts)
            / len(counts)
            for n in k
            if counts and all(total >= n for total, _ in counts)
        }
        return figures, {}


def _pass_at(k: int, total: int, right: int) -> float:
    """The unbiased estimate that one of k candidates is right, given `right` of `total`."""
    if total - right < k:
        return 1.0
    return 1.0 - math.comb(total - right, k) / math.comb(total, k)

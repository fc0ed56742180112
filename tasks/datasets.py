"""The table of published data sets: origin, licence, citation, and every file's size and hash."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .errors import UnknownName

TABLE = Path(__file__).with_name("datasets.toml")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: Relative to the data folder.
        upstream: Relative to the data set's `url`.
        size: In bytes.
        sha256: Of the whole file, in hexadecimal digits.
    """

    path: str
    upstream: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PublishedGeneration:
    """The authors' limits and sampling, which they publish in the files of their prompts.

    Attributes:
        path: Where they are written as JSON, relative to the data folder.
        names: Of a prompt -> of the subtask, under which its limits are written.
        sha256: Of the limits known to this version, as JSON with sorted keys.
        example: The configuration of the authors' example run, relative to the data set's `url`.
        sampling: Of that run, as this version knows it: for a file that does not have it.
    """

    path: str
    names: Mapping[str, str]
    sha256: str = ""
    example: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublishedPrompts:
    """The authors' prompts, which they publish inside configuration files.

    Attributes:
        path: Where the prompts are written as JSON, relative to the data folder.
        upstream: Folder of the configuration files, relative to the data set's `url`.
        configurations: Their names.
        names: The prompts that must be in them.
        sha256: Of the prompts known to this version, as JSON with sorted keys.
        generation: Limits and sampling in the same files, None where they are not read.
    """

    path: str
    upstream: str
    configurations: tuple[str, ...]
    names: tuple[str, ...]
    sha256: str
    generation: PublishedGeneration | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A published data set.

    Attributes:
        name: Key in the table, and the folder's name.
        title: For people.
        licence: Its name; texts under it stay in the user's folders.
        licence_url: Its text.
        citation: The paper.
        url: What all upstream paths start with.
        files: All of them.
        prompts: The authors' prompts, None where they publish none.
        no_protocol: Why it cannot be asked as its authors ask it, "" where it can.
    """

    name: str
    title: str
    licence: str
    licence_url: str
    citation: str
    url: str
    files: tuple[DataFile, ...]
    prompts: PublishedPrompts | None = None
    no_protocol: str = ""

    @property
    def size(self) -> int:
        """All files together, in bytes."""
        return sum(file.size for file in self.files)


@cache
def datasets() -> Mapping[str, Dataset]:
    """The table, by name."""
    table = {}
    for name, raw in tomllib.loads(TABLE.read_text("utf-8")).items():
        prompts = raw.pop("prompts", None)
        if prompts:
            for key in ("configurations", "names"):
                prompts[key] = tuple(prompts[key])
            generation = prompts.pop("generation", None)
            prompts["generation"] = PublishedGeneration(**generation) if generation else None
            prompts = PublishedPrompts(**prompts)
        files = tuple(DataFile(**file) for file in raw.pop("files"))
        table[name] = Dataset(name=name, files=files, prompts=prompts, **raw)
    return table


def dataset(name: str) -> Dataset:
    """The data set of a name.

    Raises:
        UnknownName: There is none.
    """
    if name not in datasets():
        raise UnknownName("data set", name, datasets())
    return datasets()[name]

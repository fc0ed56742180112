"""Files that native tasks read out of a mirror."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..schema import Record
from ..sources import JsonReader
from .mirrors import file_of


@dataclass(frozen=True, slots=True)
class MirrorReader(JsonReader):
    """Reads a file wherever a mirror has it; `path` is relative to the mirror's folder."""

    def __call__(self, folder: Path) -> Iterator[Record]:
        """The rows in file order.

        Raises:
            MissingData: No mirror has the file.
            BadRow: A row breaks the format; names file, row and field.
        """
        path = file_of(self.path, folder)
        return JsonReader(path.name, self.fields, self.row)(path.parent)

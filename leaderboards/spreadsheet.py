"""The board as CSV: a line for every figure."""

from __future__ import annotations

import csv
import io

from .board import Board
from .wording import ORIGINS

COLUMNS = (
    "sheet",
    "model",
    "origin",
    "scoring",
    "samples",
    "column",
    "level",
    "score",
    "low",
    "high",
    "printed_otherwise",
    "rank",
    "ranked_among",
    "not_ranked_with_others_because",
    "source",
    "demonstration",
    "signatures",
)


def spreadsheet(board: Board) -> str:
    """The whole file; full precision, an empty field for what is not known."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for sheet in board.sheets:
        reasons = {n.mark: "; ".join(n.reasons) for n in (sheet.ranks.notes if sheet.ranks else ())}
        for number, row in enumerate(sheet.rows):
            for column in sheet.columns:
                cell = row.cells.get(column.key)
                if cell is None:
                    continue
                place = sheet.ranks.of(number, column.key) if sheet.ranks else None
                writer.writerow(
                    map(
                        _safe,
                        (
                            sheet.name,
                            row.label,
                            ORIGINS[row.measured],
                            row.scoring,
                            row.samples,
                            column.key,
                            column.kind,
                            round(cell.value, 6),
                            cell.low,
                            cell.high,
                            cell.printed,
                            place and place.rank,
                            place and place.of,
                            place and reasons.get(place.mark, ""),
                            row.source,
                            "yes" if sheet.demonstration else "",
                            " ".join(row.signatures),
                        ),
                    )
                )
    return file.getvalue()


def _safe(value: object) -> object:
    """A text that opens like a formula is not run by a spreadsheet."""
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if risky else value

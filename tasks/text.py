"""Text that any file, hash and tokenizer can take."""

from __future__ import annotations


def well_formed(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which no file and no hash can take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

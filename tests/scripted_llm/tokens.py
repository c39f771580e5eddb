"""Tokens, counted simply, and the pieces that a stream delivers a text in."""

import re

_PIECE = re.compile(r"\S+\s*|\s+")


def count(text: str) -> int:
    """Return about as many tokens as an English text has: one for four characters."""
    return -(-len(text) // 4)


def pieces(text: str) -> list[str]:
    """Return a text word by word; joined they are the text."""
    return _PIECE.findall(text)

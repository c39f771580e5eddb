"""WordLlama embeddings: static token vectors whose weights come inside the wheel."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from memstream.events.payloads import Space
from memstream.services.protocols import Matrix

_DIMENSION = 256
# Below this many characters, embedding takes less time than handing it to a thread.
_INLINE_CHARACTERS = 4_000
# A mean over more tokens than these says nothing more, and the model pads a batch to its longest text.
_LONGEST = 4_000
_BATCH = 256
# Texts whose vectors are kept; a kilobyte each, and the text.
_REMEMBERED = 4_096


class _Model(Protocol):
    def embed(self, texts: list[str], *, norm: bool) -> Any: ...


class WordLlamaEmbedder:
    """Embeds about 16,000 texts a second on one core; vectors have unit length.

    Its vectors are nested (Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022): the first 64 or 128 of the
    256 dimensions are vectors of their own.
    """

    def __init__(self, dimension: int = _DIMENSION) -> None:
        self._space = Space(model="wordllama-l2-supercat", dimension=dimension)
        self._recent: dict[str, NDArray[np.float32]] = {}

    @property
    def space(self) -> Space:
        """The space of these vectors."""
        return self._space

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Return one unit vector per text; an empty text gives a zero vector."""
        if not texts:
            return np.zeros((0, self._space.dimension), dtype=np.float32)
        cut = [text[:_LONGEST] for text in texts]
        known = {text: self._recent[text] for text in cut if text in self._recent}
        new = [text for text in dict.fromkeys(cut) if text not in known]
        if sum(map(len, new)) <= _INLINE_CHARACTERS:
            known |= zip(new, self._shortened(_embed(new)), strict=True)
        else:
            for start in range(0, len(new), _BATCH):
                part = new[start : start + _BATCH]
                known |= zip(part, self._shortened(await asyncio.to_thread(_embed, part)), strict=True)
        self._remember({text: known[text] for text in new})
        return np.stack([known[text] for text in cut])

    def _shortened(self, vectors: Matrix) -> Matrix:
        if self._space.dimension == vectors.shape[1]:
            return vectors
        short = vectors[:, : self._space.dimension]
        return np.asarray(short / np.maximum(np.linalg.norm(short, axis=1, keepdims=True), 1e-9), dtype=np.float32)

    def _remember(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        """Keep the latest vectors: a statement is embedded to be filed, and again a moment later to be stored."""
        self._recent |= vectors
        while len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]


def _embed(texts: list[str]) -> Matrix:
    if not texts:
        return np.zeros((0, _DIMENSION), dtype=np.float32)
    # An empty text has no tokens to average.
    safe = [text if text.strip() else "." for text in texts]
    vectors = np.asarray(_model().embed(safe, norm=True), dtype=np.float32)
    vectors[[index for index, text in enumerate(texts) if not text.strip()]] = 0.0
    return np.nan_to_num(vectors)


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """Undo what wordllama does on import: every library of the program would log its INFO lines to stderr."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@lru_cache(maxsize=1)
def _model() -> _Model:
    with _logging_left_alone():
        from wordllama import WordLlama  # noqa: PLC0415 - heavy: loaded by the first text that is embedded

    spec = find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent
    return cast("_Model", WordLlama.load(cache_dir=home, disable_download=True, dim=_DIMENSION))

"""Embeddings from an endpoint: batched, retried, checked, and each text paid for once."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from openai import OpenAIError

from memstream.events.errors import InvalidInput
from memstream.events.payloads import Space, TaskUsage
from memstream.projections.words import count_tokens
from memstream.services.protocols import Matrix
from memstream.services.spending import spend

from .client import Models
from .failures import ModelUnavailable
from .profiles import Profile
from .refusals import unavailable

PREFIX: Final = "endpoint:"
# What one request holds: OpenAI takes 2,048 texts and 300,000 tokens, other servers less.
_BATCH_TEXTS, _BATCH_TOKENS = 128, 50_000
# Longer texts are cut: about the 8,192 tokens that most models read.
_LONGEST_CHARACTERS = 24_000
# Vectors that are kept, by the hash of their text: a statement comes again when it is filed, stored and asked for.
_REMEMBERED = 8_192
_DIMENSIONS: Final = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}


class EndpointEmbedder:
    """Embeds with the model that the task ``embed`` names. Open it with ``EndpointEmbedder.open``."""

    def __init__(self, models: Models, dimension: int) -> None:
        self._models = models
        self._profile = models.profiles["embed"]
        self._space = Space(model=self._profile.model, dimension=dimension)
        self._recent: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    @classmethod
    async def open(cls, models: Models) -> "EndpointEmbedder":
        """Return the embedder; a dimension that nobody knows is found out with one short text."""
        profile = models.profiles["embed"]
        dimension = profile.dimension or _DIMENSIONS.get(profile.model)
        if dimension is None:
            dimension = len((await _create(models, profile, ["memory"]))[0])
        return cls(models, dimension)

    @property
    def space(self) -> Space:
        """The space of these vectors."""
        return self._space

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Return one vector per text; an empty text gives a zero vector. Raises ModelUnavailable, InvalidInput."""
        cut = [text[:_LONGEST_CHARACTERS] for text in texts]
        wanted = {_key(text): text for text in cut if text.strip()}
        known = {key: self._recent[key] for key in wanted if key in self._recent}
        new = {key: text for key, text in wanted.items() if key not in known}
        for part in _batches(list(new.items())):
            vectors = await _create(self._models, self._profile, [text for _, text in part], self._space.dimension)
            known |= {key: vector for (key, _), vector in zip(part, vectors, strict=True)}
        self._remember({key: known[key] for key in new})
        matrix = np.zeros((len(cut), self._space.dimension), np.float32)
        for row, text in enumerate(cut):
            if text.strip():
                matrix[row] = known[_key(text)]
        return matrix

    def _remember(self, vectors: dict[bytes, NDArray[np.float32]]) -> None:
        self._recent |= vectors
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def _batches(texts: Sequence[tuple[bytes, str]]) -> Iterator[list[tuple[bytes, str]]]:
    run: list[tuple[bytes, str]] = []
    size = 0
    for one in texts:
        tokens = count_tokens(one[1])
        if run and (len(run) >= _BATCH_TEXTS or size + tokens > _BATCH_TOKENS):
            yield run
            run, size = [], 0
        run.append(one)
        size += tokens
    if run:
        yield run


async def _create(models: Models, profile: Profile, texts: list[str], wanted: int | None = None) -> Matrix:
    """Ask for some vectors; refuse an answer of another number or dimension."""
    started = time.perf_counter()
    options: dict[str, Any] = {"dimensions": profile.dimension} if profile.dimension else {}
    try:
        answer = await models.client("embed").embeddings.create(model=profile.model, input=texts, **options)
    except OpenAIError as error:
        raise unavailable(error, profile) from error
    tokens = answer.usage.prompt_tokens if answer.usage else sum(map(count_tokens, texts))
    seconds = round(time.perf_counter() - started, 6)
    spend(TaskUsage(task="embed", model=profile.model, calls=1, tokens_in=tokens, seconds=seconds))
    vectors = [one.embedding for one in sorted(answer.data, key=lambda one: one.index)]
    if len(vectors) != len(texts):
        raise ModelUnavailable(f"{profile.model} gave {len(vectors)} vectors for {len(texts)} texts")
    widths = {len(vector) for vector in vectors}
    if len(widths) != 1 or (wanted is not None and widths != {wanted}):
        raise InvalidInput(
            f"{profile.model} at {profile.endpoint} gives vectors of {', '.join(map(str, sorted(widths)))} dimensions, "
            f"and this space has {wanted}: another model is a space of its own; see 'memstream reembed'"
        )
    matrix = np.asarray(vectors, np.float32)
    if not np.isfinite(matrix).all():
        raise ModelUnavailable(f"{profile.model} at {profile.endpoint} gives vectors that are no numbers")
    return matrix

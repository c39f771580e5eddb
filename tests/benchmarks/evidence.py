"""What recall is judged on: conversations whose questions have evidence, embedded by one of two models."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bge import BgeEmbedder
from corpora import Conversation, beam, locomo
from measure import arguments

from memstream.services.local.embedder import WordLlamaEmbedder
from memstream.services.protocols import Embedder

_EMBEDDERS = ("wordllama", "bge-small")


def evidence_arguments(documentation: str, examples: Sequence[str], *, required: bool) -> argparse.ArgumentParser:
    """Return a parser that knows the files of both sets, ``required`` or not, and the embedder."""
    parser = arguments(documentation, examples)
    parser.add_argument("--locomo", type=Path, required=required, help="LoCoMo conversations with evidence (JSON)")
    parser.add_argument("--beam", type=Path, required=required, help="BEAM chats with evidence (JSON)")
    parser.add_argument("--embedder", choices=_EMBEDDERS, default="wordllama", help="default wordllama")
    return parser


def corpora_of(options: argparse.Namespace) -> dict[str, list[Conversation]]:
    """Read the sets that the options name."""
    readers = {"locomo": locomo, "beam": beam}
    return {name: read(path) for name, read in readers.items() if (path := getattr(options, name))}


def embedder_of(options: argparse.Namespace) -> Embedder:
    """Load the embedder that the options name."""
    return BgeEmbedder() if options.embedder == "bge-small" else WordLlamaEmbedder()

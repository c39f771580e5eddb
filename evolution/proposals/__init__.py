"""What may be proposed, one module for each kind; pure functions of what is recorded."""

from collections.abc import Mapping
from typing import Final

from .archive import archive
from .create import create
from .merge import merge
from .proposal import Kind, Proposal, Proposer, View
from .refile import refile
from .split import split
from .summarize import summarize

PROPOSERS: Final[Mapping[Kind, Proposer]] = {
    "create": create,
    "split": split,
    "merge": merge,
    "refile": refile,
    "summarize": summarize,
    "archive": archive,
}

__all__ = ["PROPOSERS", "Kind", "Proposal", "Proposer", "View"]

"""Reading LoCoMo and BEAM: conversations as messages for ``memorize``, and the questions that have evidence.

The files are the caller's; nothing of them is kept in this project. LoCoMo (Maharana et al., ACL 2024) has photos,
which are memorized by their captions; BEAM (Tavakoli et al., 2025) has long chats with an assistant.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from readymade import Fact

Messages = list[dict[str, Any]]
# One reply in BEAM is a diagram of 340,000 blanks, more than one message may hold.
_LONG_BLANK = re.compile(r"\s{20,}")


class Query(NamedTuple):
    """A question, its kind, and the ids of the messages that hold the answer."""

    kind: str
    text: str
    evidence: frozenset[str]


class Conversation(NamedTuple):
    """What one user memorizes, part by part, and is asked afterwards; ``facts`` are what a model once made of it."""

    id: str
    parts: list[Messages]
    queries: list[Query]
    facts: tuple[Fact, ...] = ()


def locomo(path: Path) -> list[Conversation]:
    """Read LoCoMo: a part for each session."""
    return [
        Conversation(
            one["id"],
            [_session(session) for session in one["sessions"]],
            _queries(one["questions"]),
            tuple(Fact(fact["text"], fact["speaker"], tuple(fact["evidence"])) for fact in one["facts"]),
        )
        for one in _load(path)
    ]


def beam(path: Path) -> list[Conversation]:
    """Read BEAM: a single part for each chat."""
    return [
        Conversation(one["id"], [[_chat_message(message) for message in one["messages"]]], _queries(one["questions"]))
        for one in _load(path)
    ]


def _load(path: Path) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return values


def _session(session: dict[str, Any]) -> Messages:
    moment = datetime.strptime(session["date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    return [
        {"role": "user", "name": turn["speaker"], "content": _said(turn), "time": moment, "id": turn["id"]}
        for turn in session["turns"]
    ]


def _said(turn: dict[str, Any]) -> str:
    caption = turn.get("caption")
    return f"{turn['text']} [photo: {caption}]" if caption else str(turn["text"])


def _chat_message(message: dict[str, Any]) -> dict[str, Any]:
    moment = datetime.strptime(message["date"], "%B-%d-%Y").replace(tzinfo=UTC)
    text = _LONG_BLANK.sub("\n", message["text"])
    return {"role": message["role"], "content": text, "time": moment, "id": str(message["id"])}


def _queries(questions: list[dict[str, Any]]) -> list[Query]:
    return [
        Query(one["kind"], one["question"], frozenset(str(identifier) for identifier in one["evidence"]))
        for one in questions
    ]

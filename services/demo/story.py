"""The story that the demo memorizes, and what it asks about it.

Spring 2026: Mara and her friend Noor plan a supper in a community garden, Mara prepares for a race and a new job with
her assistant Juno, and the garden has a guide. Everything was written for this repository.
"""

from datetime import UTC, datetime
from importlib.resources import files
from typing import NamedTuple

from memstream.events.messages import JSON, decode_messages
from memstream.events.payloads import Modality
from memstream.services.reads import Turn

USER = "mara"
_DATA = files("memstream.services.demo") / "data"


class Chapter(NamedTuple):
    """One input: a session of a conversation, or the document (which is in no session)."""

    file: str
    modality: Modality
    about: str
    session: str | None = None
    # Messages bring their own times; a document has only this one.
    time: datetime | None = None

    def content(self) -> bytes:
        """Return the bytes as they are in the package."""
        return (_DATA / self.file).read_bytes()

    def size(self) -> str:
        """Return how much there is to read, in words."""
        content = self.content()
        if self.modality == "document":
            return f"{len(content.split())} words"
        return f"{len(decode_messages(content, JSON))} messages"


class Question(NamedTuple):
    """A question, what makes it interesting, and the conversation that it comes from."""

    case: str
    text: str
    history: tuple[Turn, ...] = ()


def _session(name: str, about: str) -> Chapter:
    return Chapter(f"{name}.json", "conversation", about, session=name)


CHAPTERS: tuple[Chapter, ...] = (
    _session("supper-1", "Mara and Noor plan a supper"),
    _session("juno-1", "Mara tells Juno what she is up to"),
    _session("supper-2", "the supper gets another date"),
    _session("juno-2", "a job interview, a sore knee"),
    _session("supper-3", "the supper gets another place"),
    _session("supper-4", "the morning after"),
    _session("juno-3", "results, and a journey"),
    Chapter(
        "hillside-garden-guide.md",
        "document",
        "the guide of the garden",
        time=datetime(2026, 3, 1, 12, tzinfo=UTC),
    ),
)

QUESTIONS: tuple[Question, ...] = (
    Question("a preference", "How does Mara like her coffee?"),
    Question("a person", "Who is Salma?"),
    Question("a plan that changed twice", "To which date and place has the garden supper moved?"),
    Question("a date, told as “yesterday”", "When was Mara's interview at the city library?"),
    Question("the document", "What are the quiet hours in the garden?"),
    Question(
        "a follow-up with a pronoun",
        "What is she allergic to?",
        (
            Turn(role="user", content="Who makes the apricot tart for the supper?"),
            Turn(role="assistant", content="Noor does. It has almonds in it."),
        ),
    ),
)

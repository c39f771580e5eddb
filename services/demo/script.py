"""The demo's script: memorize, ask, give feedback, show what is there. A second run adds nothing to memory."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from memstream.projections.models import CategoryFile
from memstream.services.reads import Retrieved
from memstream.services.results import Memorized
from memstream.services.synchronous import Memory, User

from .answers import show_answer, show_feedback, show_question
from .quoting import Originals
from .showing import fit, heading, show_chapter, show_counts, show_files, show_intro, show_next, show_repeat
from .story import CHAPTERS, QUESTIONS, USER, Chapter

_TOP_K = 5


def run_demo(data_dir: Path, out: Console) -> None:
    """Run the demo on a memory in ``data_dir``; raises the errors of ``memstream.events.errors``."""
    started = time.perf_counter()
    fit(out)
    show_intro(out, data_dir)
    with _progress(out) as progress:
        progress.add_task("starting the log and the stores", total=None)
        with Memory.open(data_dir) as memory:
            user = memory.user(USER)
            before = user.counts()
            repeated = memorize_story(user, out, progress)
            progress.stop()
            answer_questions(user, out)
            after = user.counts()
            show_counts(out, after, user.status().events)
            if repeated:
                show_repeat(out, before, after)
            show_files(out, write_files(data_dir, user.files()))
    show_next(out, data_dir, time.perf_counter() - started)


def memorize_story(user: User, out: Console, progress: Progress) -> bool:
    """Memorize every chapter and wait for the category files; returns whether all of it was known already."""
    heading(out, "Memorizing")
    task = progress.task_ids[0]
    progress.update(task, total=len(CHAPTERS))
    known = []
    for chapter in CHAPTERS:
        progress.update(task, description=f"memorizing {chapter.file}")
        done = _memorized(user, chapter)
        known.append(done.duplicate)
        show_chapter(out, chapter, done)
        progress.advance(task)
    progress.update(task, description="writing the category files")
    user.settle()
    return all(known)


def answer_questions(user: User, out: Console) -> None:
    """Ask every question, show the answer with its sources, and record which item was used."""
    originals = Originals(user)
    judged = judged_questions(user)
    for number, question in enumerate(QUESTIONS, start=1):
        found = user.retrieve(question.text, conversation_history=question.history, top_k=_TOP_K)
        show_question(out, number, question, found)
        show_answer(out, found, originals)
        if found.items:
            show_feedback(out, None if question.text in judged else _give_feedback(user, found))


def judged_questions(user: User) -> set[str]:
    """Return the questions that have had feedback, read from the log."""
    given = {event.data["retrieval_id"] for event in user.events(types=["feedback.given"])}
    served = user.events(types=["retrieval.served"])
    return {str(event.data["original_query"]) for event in served if event.data["retrieval_id"] in given}


def write_files(data_dir: Path, files: Sequence[CategoryFile]) -> list[tuple[Path, CategoryFile]]:
    """Write the category files below the data directory, and return where each one is."""
    written = []
    for file in files:
        path = data_dir / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
        written.append((path, file))
    return written


def _memorized(user: User, chapter: Chapter) -> Memorized:
    return user.memorize(
        chapter.content(), modality=chapter.modality, name=chapter.file, session=chapter.session, time=chapter.time
    )


def _give_feedback(user: User, found: Retrieved) -> int:
    return user.feedback(found.retrieval_id, used=[found.items[0].id]).position


def _progress(out: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)

"""``memstream demo`` as a user runs it, twice on one data directory."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

MEMSTREAM = str(Path(sys.executable).with_name("memstream"))
CHAPTERS = 8
# What each answer must quote, and the source that it must name beside the quote.
ANSWERS = [
    ("How does Mara like her coffee?", "a flat white with oat milk and no sugar", "message j1-09 of juno-1.json"),
    ("Who is Salma?", "Salma is an engineer, she designs footbridges.", "message s1-11 of supper-1.json"),
    ("Who is Salma?", "my sister Salma. She plays the cello", "message s1-09 of supper-1.json"),
    (
        "To which date and place has the garden supper moved?",
        "the garden supper moves to the old boathouse on Linden Quay. The date stays Saturday 20 June at six.",
        "message s3-06 of supper-3.json",
    ),
    (
        "To which date and place has the garden supper moved?",
        "the garden supper moves one week, from Saturday 13 June to Saturday 20 June.",
        "message s2-05 of supper-2.json",
    ),
    (
        "When was Mara's interview at the city library?",
        "I had my job interview at the city library yesterday",
        "message j2-01 of juno-2.json",
    ),
    (
        "What are the quiet hours in the garden?",
        "Sundays between noon and three are quiet.",
        "hillside-garden-guide.md, characters",
    ),
    ("What is she allergic to?", "I'm allergic to hazelnuts.", "message s1-07 of supper-1.json"),
]


class Memory(NamedTuple):
    """What a data directory holds, as the command line tells it."""

    resources: list[dict[str, Any]]
    items: list[dict[str, Any]]
    files: list[dict[str, Any]]
    events: dict[str, int]


class Run(NamedTuple):
    """One run of the demo, and what memory held after it."""

    output: str
    seconds: float
    memory: Memory

    def answer(self, question: str) -> str:
        """Return what was printed for a question, its lines joined."""
        sections = re.split(r"\nQuestion \d of 6: |\nWhat memory holds now", self.output)[1:-1]
        joined = [" ".join(section.split()) for section in sections]
        return next(section for section in joined if question in section)


class Runs(NamedTuple):
    """Two runs on one data directory."""

    directory: Path
    first: Run
    second: Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run the demo twice."""
    directory = tmp_path_factory.mktemp("demo") / "demo-data"
    return Runs(directory, run(directory), run(directory))


def run(directory: Path) -> Run:
    before = processor_seconds()
    output = command("demo", "--data-dir", str(directory))
    return Run(output, processor_seconds() - before, memory_in(directory))


def processor_seconds() -> float:
    """Return what the programs that were run so far have used, which a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_in(directory: Path) -> Memory:
    def read(*arguments: str) -> Any:
        return json.loads(command(*arguments, "--user", "mara", "--data-dir", str(directory), "--json"))

    return Memory(
        read("resources", "--limit", "1000"),
        read("items", "--limit", "1000"),
        read("files"),
        read("status")["events"],
    )


def command(*arguments: str) -> str:
    done = subprocess.run([MEMSTREAM, *arguments], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_needs_less_than_twenty_seconds_of_one_processor(runs: Runs) -> None:
    assert runs.first.seconds < 20


def test_it_memorizes_two_conversations_and_a_document(runs: Runs) -> None:
    modalities = [one["modality"] for one in runs.first.memory.resources]
    assert sorted(modalities) == ["conversation"] * 7 + ["document"]
    assert len(re.findall(r"^memorized +\S+ +\d+ (?:messages|words) ", runs.first.output, re.MULTILINE)) == CHAPTERS


def test_it_asks_six_questions(runs: Runs) -> None:
    assert re.findall(r"Question (\d) of 6", runs.first.output) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(("question", "statement", "source"), ANSWERS)
def test_the_best_items_hold_the_answer_and_quote_their_source(
    runs: Runs, question: str, statement: str, source: str
) -> None:
    for one in (runs.first, runs.second):
        answer = one.answer(question)
        assert statement in answer
        assert source in answer


@pytest.mark.parametrize("question", dict.fromkeys(question for question, _, _ in ANSWERS))
def test_every_answer_tells_what_each_tier_found_and_which_one_sufficed(runs: Runs, question: str) -> None:
    answer = runs.first.answer(question)
    assert re.search(r"categories \d .* items \d .* resources \d .* sufficient_at (category|item|resource)", answer)


def test_the_interview_told_as_yesterday_is_dated_one_day_earlier(runs: Runs) -> None:
    answer = runs.first.answer("When was Mara's interview at the city library?")
    assert "happened on Tuesday 5 May 2026" in answer
    assert "Mara, Wednesday 6 May 2026 at 12:15" in answer


def test_the_plan_that_changed_is_answered_by_its_latest_state(runs: Runs) -> None:
    answer = runs.first.answer("To which date and place has the garden supper moved?")
    assert answer.index("message s3-06") < answer.index("message s2-05")


def test_the_follow_up_is_asked_with_the_name_instead_of_the_pronoun(runs: Runs) -> None:
    assert "asked as: What is Noor allergic to?" in runs.first.answer("What is she allergic to?")


def test_what_was_said_twice_is_one_item_with_two_sources(runs: Runs) -> None:
    answer = runs.first.answer("What is she allergic to?")
    assert "said 2 times, kept once" in answer
    assert "message s3-09 of supper-3.json" in answer


def test_feedback_for_every_question_is_in_the_log(runs: Runs) -> None:
    assert runs.first.memory.events["feedback.given"] == 6


def test_the_category_files_are_where_the_demo_says(runs: Runs) -> None:
    paths = [Path(found) for found in re.findall(r"^(\S+\.md)  cites", runs.first.output, re.MULTILINE)]
    assert {path.parent for path in paths} == {runs.directory / "categories"}
    assert {path.stem: path.read_text() for path in paths} == {
        file["name"]: file["text"] for file in runs.first.memory.files
    }


def test_every_line_fits_100_columns_but_those_with_a_path(runs: Runs) -> None:
    lines = [line for line in runs.first.output.splitlines() if str(runs.directory) not in line]
    assert max(map(len, lines)) <= 100


def test_it_ends_with_what_to_try_next(runs: Runs) -> None:
    _, _, ending = runs.first.output.partition("\nTry next")
    for name in ("retrieve", "files", "up"):
        assert f"memstream {name} " in ending
    assert f"--data-dir {runs.directory}" in ending


def test_a_second_run_knows_everything_already_and_adds_nothing_to_memory(runs: Runs) -> None:
    before, after = runs.first.memory, runs.second.memory
    assert len(re.findall(r"^known already  ", runs.second.output, re.MULTILINE)) == CHAPTERS
    assert after.resources == before.resources
    assert after.items == before.items
    assert after.files == before.files
    assert "This run added nothing to memory" in " ".join(runs.second.output.split())


def test_a_second_run_records_its_questions_as_use_and_repeats_no_feedback(runs: Runs) -> None:
    before, after = runs.first.memory.events, runs.second.memory.events
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"retrieval.served", "vectors.embedded"}
    assert after["retrieval.served"] - before["retrieval.served"] == 6
    assert "Its 6 questions are in the log as retrieval.served" in " ".join(runs.second.output.split())

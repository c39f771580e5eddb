"""What a memory makes of what it is given, and what it refuses, however it is reached."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from documents import DOCUMENTS

from memstream import AsyncUser
from memstream.events.errors import InvalidInput, ProcessingFailed, TooLarge


async def test_every_item_names_the_messages_that_it_comes_from(user: AsyncUser, conversation) -> None:
    done = await user.memorize(conversation)
    by_id = {message["id"]: message for message in conversation}
    for item in done.items:
        assert item.sources
        for source in item.sources:
            assert source.resource_id == done.resource.id
            assert all(item.text in by_id[message]["content"] for message in source.message_ids)


async def test_relative_times_are_resolved_and_times_kept(user: AsyncUser, conversation) -> None:
    done = await user.memorize(conversation)
    hike = next(item for item in done.items if "hiking" in item.text)
    assert hike.happened == datetime(2024, 4, 30, 10, 1, tzinfo=UTC)
    assert hike.sources[0].time == datetime(2024, 5, 1, 10, 1, tzinfo=UTC)


async def test_the_same_input_twice_adds_nothing(user: AsyncUser, conversation) -> None:
    first = await user.memorize(conversation)
    await user.settle()
    before = (await user.counts()).model_dump(exclude={"position"})
    again = await user.memorize(conversation, name="another name")
    await user.settle()
    assert again.duplicate
    assert not first.duplicate
    assert again.items == tuple(await user.items(resource_id=first.resource.id))
    assert (await user.counts()).model_dump(exclude={"position"}) == before
    assert (await user.status()).events["resource.ingested"] == 1


async def test_one_statement_from_two_resources_is_one_item_with_two_sources(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation[:4])
    done = await user.memorize([conversation[3], {"role": "user", "name": "Ana", "content": "My rope is too short."}])
    shared = [item for item in done.items if "climbing" in item.text]
    assert len(shared) == 1
    assert len({source.resource_id for source in shared[0].sources}) == 2
    assert len([item for item in await user.items() if "climbing" in item.text]) == 1


async def test_small_talk_gives_no_item_and_stays_findable_below(user: AsyncUser, conversation) -> None:
    done = await user.memorize(conversation)
    assert not any("Thanks" in item.text for item in done.items)
    segments = await user.segments(done.resource.id)
    assert any("Thanks!" in segment.text and "c5" in segment.message_ids for segment in segments)
    found = await user.retrieve("Who said thanks?", exhaustive=True)
    assert "c5" in found.resources[0].message_ids


async def test_what_recall_returned_is_not_memorized_again_when_an_agent_repeats_it(
    user: AsyncUser, conversation
) -> None:
    await user.memorize(conversation)
    found = await user.retrieve("What does Ana do on weekends?")
    before = {item.id for item in await user.items()}
    echo = await user.memorize(
        [
            {"role": "system", "content": found.context},
            {"role": "assistant", "content": f"You told me: {found.items[0].text}"},
            {"role": "user", "name": "Ana", "content": "Right, and my brother Leo joins us now."},
        ]
    )
    after = await user.items()
    assert [item.text for item in after if item.id not in before] == ["Right, and my brother Leo joins us now."]
    assert echo.resource.status == "ready"


async def test_documents_keep_exact_spans_and_open_a_category_of_their_own(user: AsyncUser) -> None:
    text = "# Rock garden\n\n## Opening hours\n\nOn Sundays the hall opens at ten.\n\n- No chalk on the walls\n"
    done = await user.memorize(text, name="hall.md")
    assert "rock_garden" in {category.name for category in done.categories}
    for item in done.items:
        span = item.sources[0].span
        assert span.unit == "character"
        assert text[span.start : span.end] == item.text
    found = await user.retrieve("When does the hall open on Sundays?")
    assert "ten" in found.items[0].text


@pytest.mark.parametrize("kind", ["html", "docx", "pdf"])
async def test_documents_of_other_formats_are_read(user: AsyncUser, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"guide.{kind}"
    path.write_bytes(DOCUMENTS[kind]())
    done = await user.memorize(path)
    assert any("belay" in item.text for item in done.items)


async def test_the_original_bytes_come_back_exactly(user: AsyncUser, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(
        b'{"role": "user", "content": "My flat is in Porto."}\r\n\n{"role":"user","content":"It is small."}'
    )
    done = await user.memorize(path)
    into = io.BytesIO()
    resource = await user.content(done.resource.id, into)
    assert into.getvalue() == path.read_bytes()
    assert (resource.name, resource.modality, resource.size) == ("chat.jsonl", "conversation", path.stat().st_size)


async def test_category_files_cite_only_items_that_exist(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    await user.settle()
    known = {item.id for item in await user.items()}
    files = await user.files()
    assert files
    for file in files:
        assert set(file.citations) <= known
        assert all(f"[^{item}]" in file.text for item in file.citations)
        assert (await user.file(file.name)).text == file.text


async def test_every_live_item_is_in_a_category(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    categories = {category.id for category in await user.categories()}
    assert all(set(item.categories) & categories for item in await user.items())


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ([], {}, "empty"),
        ([{"role": "robot", "content": "x"}], {}, "message 1: role"),
        ([{"role": "user", "content": "x"}] * 20_001, {}, "20,001 messages"),
        ("text", {"modality": "smell"}, "unknown modality 'smell'"),
        (b"\x00\x01binary", {"name": "a.txt"}, "NUL byte at offset 0"),
        (b"caf\xe9 au lait", {"name": "a.txt"}, "not UTF-8"),
        (b"not a pdf", {"name": "a.pdf"}, "does not start like one"),
        (b'[{"role": "user",\n}]', {"modality": "conversation", "name": "a.json"}, "line 2"),
        ("   \n ", {}, "only blanks"),
        ("", {}, "empty"),
        (b"PNG", {"modality": "image", "name": "a.png"}, "needs a vision or transcription model"),
        ("x", {"name": "a.zip"}, "cannot read"),
        (Path("does-not-exist.md"), {}, "no file"),
        (Path(), {}, "is a directory"),
    ],
)
async def test_bad_input_is_refused_and_nothing_is_written(user: AsyncUser, content, options, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        await user.memorize(content, **options)
    assert (await user.status()).events == {}


async def test_a_file_over_the_limit_is_refused_by_its_size(user: AsyncUser, tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    with pytest.raises(TooLarge, match=r"200\.0 MiB, over the limit of 64 MiB"):
        await user.memorize(path)
    assert (await user.status()).events == {}


async def test_a_damaged_document_fails_with_its_reason_and_stays_safe(user: AsyncUser) -> None:
    with pytest.raises(ProcessingFailed, match="cannot be read"):
        await user.memorize(b"%PDF-1.7 and then nothing of the kind", name="broken.pdf")
    resource = (await user.resources())[0]
    assert resource.status == "failed"
    assert resource.failure
    assert (await user.status()).events["extraction.failed"] == 1


async def test_a_time_that_no_store_can_hold_is_refused_by_place(user: AsyncUser) -> None:
    for time in ("9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00"):
        with pytest.raises(InvalidInput, match="message 1: time"):
            await user.memorize([{"role": "user", "content": "x", "time": time}])
    with pytest.raises(InvalidInput, match="year 9999"):
        await user.memorize("A text.", time=datetime(9999, 12, 31, tzinfo=UTC))
    assert (await user.status()).events == {}


async def test_statements_that_differ_in_a_sign_are_two_items(user: AsyncUser) -> None:
    for language in ("C++", "C#"):
        await user.memorize([{"role": "user", "content": f"I write {language} at work."}])
    assert len(await user.items()) == 2


async def test_another_person_who_says_the_same_is_a_source_of_their_own(user: AsyncUser) -> None:
    said = "I am allergic to peanuts and shellfish."
    await user.memorize([{"role": "user", "name": "Ana", "content": said}])
    assert (await user.retrieve("Who is allergic to peanuts?")).items
    await user.memorize([{"role": "user", "name": "Ben", "content": said}])
    assert {item.speaker for item in await user.items()} == {"Ana", "Ben"}


async def test_spans_are_exact_in_documents_with_windows_line_ends(user: AsyncUser) -> None:
    raw = b"# Park\r\n\r\nThe gate opens at eight.\r\n\r\nIt closes at nine.\r\n"
    done = await user.memorize(raw, name="park.md")
    for item in done.items:
        span = item.sources[0].span
        assert raw.decode()[span.start : span.end] == item.text


async def test_a_long_text_without_blank_lines_is_memorized_whole(user: AsyncUser) -> None:
    text = "\n".join(f"12:00:{number:05d} valve {number} closed by the night shift" for number in range(6_000))
    done = await user.memorize(text, name="plant.log.txt", wait=False, timeout=120)
    await user.settle(timeout=120)
    segments = await user.segments(done.resource.id)
    assert "".join(segment.text for segment in segments).replace("\n", "") == text.replace("\n", "")


async def test_what_is_returned_without_waiting_is_what_memory_knows_of_it_right_after(user: AsyncUser) -> None:
    said = [{"role": "user", "name": "Ana", "content": "I planted a lemon tree on the balcony."}]
    when = datetime(2024, 5, 1, 10, 1, tzinfo=UTC)
    done = await user.memorize(said, name="chat.json", session="s1", agent="gardener", time=when, wait=False)
    assert (done.duplicate, done.items, done.categories) == (False, (), ())
    assert done.resource.status == "ingested"
    known = await user.resource(done.resource.id)
    progress = {"status", "segments", "items", "usage"}
    assert known.model_dump(exclude=progress) == done.resource.model_dump(exclude=progress)
    (event,) = await user.events(types=["resource.ingested"])
    assert (done.events, done.position) == ((event.id,), event.position)
    again = await user.memorize(said, wait=False)
    assert again.duplicate
    assert (again.resource.id, again.resource.name, again.events) == (done.resource.id, "chat.json", ())


@pytest.mark.parametrize("timeout", [0, -1, 4_000])
async def test_a_wait_out_of_range_is_refused_before_anything_is_written(user: AsyncUser, timeout: float) -> None:
    with pytest.raises(InvalidInput, match="timeout"):
        await user.memorize("A text.", timeout=timeout)
    assert (await user.status()).events == {}


async def test_half_a_surrogate_pair_is_named(user: AsyncUser) -> None:
    with pytest.raises(InvalidInput, match="surrogate"):
        await user.memorize("broken \ud800 text")

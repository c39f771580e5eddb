"""What a memory promises, however it is reached."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from memstream import AsyncMemory, AsyncUser
from memstream.events.errors import (
    InvalidInput,
    InvalidScope,
    ModelRequired,
    NotFound,
    NotServed,
    ProcessingFailed,
    TooLarge,
    Unavailable,
)


@pytest.fixture
def user(shared: AsyncMemory) -> AsyncUser:
    """Return a user that nobody else uses."""
    return shared.user(f"user {uuid4()} ä/😀")


async def test_a_memorized_conversation_can_be_asked_at_once(user: AsyncUser, conversation) -> None:
    done = await user.memorize(conversation, modality="conversation", name="chat-1", session="s1")
    assert done.resource.status == "ready"
    assert done.resource.session == "s1"
    found = await user.retrieve("What does Ana usually do on weekends?", top_k=5)
    assert "climbing" in found.items[0].text
    assert found.items[0].speaker == "Ana"


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


async def test_a_query_that_needs_no_memory_has_the_same_keys_with_empty_lists(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    found, greeted = await user.retrieve("What does Ana do?"), await user.retrieve("Hello there!")
    assert not greeted.needs_retrieval
    assert greeted.items == greeted.categories == greeted.resources == ()
    assert greeted.context == ""
    assert found.model_dump().keys() == greeted.model_dump().keys()
    assert (await user.status()).events["retrieval.served"] == 2


async def test_a_pronoun_takes_its_referent_from_the_history(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    history = [{"role": "user", "content": "Ana wrote to me."}, {"role": "assistant", "content": "What about?"}]
    found = await user.retrieve("What does she do on weekends?", conversation_history=history)
    assert found.rewritten_query == "What does Ana do on weekends?"
    assert found.original_query == "What does she do on weekends?"


async def test_retrieval_stops_at_the_tier_that_suffices(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    early = await user.retrieve("Which day did Ana go hiking in the Alps with her sister Mia?")
    assert early.sufficient_at in ("category", "item")
    assert early.resources == ()
    everything = await user.retrieve("Which day did Ana go hiking in the Alps with her sister Mia?", exhaustive=True)
    assert everything.resources


async def test_context_fits_its_budget(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    found = await user.retrieve("What does Ana do on weekends?", max_tokens=60, exhaustive=True)
    assert 0 < len(found.context.encode()) <= 240


async def test_top_k_bounds_every_tier(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    found = await user.retrieve("Ana weekends climbing hiking", top_k=1, exhaustive=True)
    assert [len(tier) for tier in (found.categories, found.items, found.resources)] == [1, 1, 1]


async def test_feedback_is_recorded_for_what_was_served_and_refused_for_the_rest(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    found = await user.retrieve("What does Ana do on weekends?")
    receipt = await user.feedback(found.retrieval_id, used=[found.items[0].id], missing="which climbing hall")
    events = await user.events(types=["feedback.given"])
    assert [event.id for event in events] == [receipt.event_id]
    with pytest.raises(NotServed, match="did not return 'made-up'"):
        await user.feedback(found.retrieval_id, used=["made-up"])
    with pytest.raises(NotFound, match="no retrieval"):
        await user.feedback("unknown", used=["x"])
    with pytest.raises(InvalidInput, match="says nothing"):
        await user.feedback(found.retrieval_id)
    assert len(await user.events(types=["feedback.given"])) == 1


async def test_lineage_leads_from_any_layer_to_all_others_and_to_the_events(user: AsyncUser, conversation) -> None:
    done = await user.memorize(conversation)
    await user.settle()
    item = done.items[0]
    segment = item.sources[0].segment_id
    for start in (item.id, item.categories[0], segment, done.resource.id):
        trace = await user.lineage(start)
        assert item.id in trace.items
        assert item.categories[0] in trace.categories
        assert segment in trace.segments
        assert done.resource.id in trace.resources
        types = {event.type for event in trace.events}
        assert {"resource.ingested", "resource.described", "items.extracted", "vectors.embedded"} <= types
    positions = {event.position: event.id for event in await user.events(limit=1_000)}
    assert all(positions[event.position] == event.id for event in trace.events)


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


async def test_events_are_fed_from_a_position_and_live(user: AsyncUser, conversation) -> None:
    done = await user.memorize(conversation[:2])
    history = await user.events()
    assert history[0].position == done.position
    assert "resource.ingested" in {event.type for event in history}
    feed = user.follow(after=history[-1].position, types=["resource.ingested"])
    later = await user.memorize(conversation[2:])
    assert (await anext(feed)).data["resource_id"] == later.resource.id
    await feed.aclose()


async def test_two_users_share_nothing(shared: AsyncMemory, conversation) -> None:
    one, two = shared.user(f"one-{uuid4()}"), shared.user(f"two-{uuid4()}")
    done = await one.memorize(conversation)
    await one.settle()
    found = await one.retrieve("What does Ana do on weekends?")
    assert await two.items() == await two.categories() == await two.files() == await two.resources() == []
    assert await two.events() == []
    nothing = await two.retrieve("What does Ana do on weekends?", exhaustive=True)
    assert nothing.items == nothing.resources == nothing.categories == ()
    for call in (two.item, two.lineage):
        with pytest.raises(NotFound):
            await call(done.items[0].id)
    with pytest.raises(NotFound):
        await two.resource(done.resource.id)
    with pytest.raises(NotFound):
        await two.content(done.resource.id, io.BytesIO())
    with pytest.raises(NotFound):
        await two.feedback(found.retrieval_id, used=[found.items[0].id])
    assert (await two.memorize(conversation)).resource.id != done.resource.id


@pytest.mark.parametrize("name", ["a.b", "a b", "*", ">", "😀" * 50, "x" * 500, "../up", "a/b?c=d&e#f", "%2e"])
async def test_awkward_user_ids_are_users_like_others(shared: AsyncMemory, name: str) -> None:
    user = shared.user(name, tenant=f"t {uuid4()}")
    await user.memorize([{"role": "user", "content": f"My locker has number {len(name)}."}])
    found = await user.retrieve("Which number has my locker?")
    assert str(len(name)) in found.items[0].text


@pytest.mark.parametrize("name", ["", "   ", "x" * 600])
async def test_a_user_that_names_nobody_is_refused(shared: AsyncMemory, name: str) -> None:
    with pytest.raises(InvalidScope):
        shared.user(name)


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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": 101}, "top_k"),
        ({"max_tokens": 1}, "max_tokens"),
        ({"method": "magic"}, "method"),
        ({"conversation_history": [{"role": "user"}]}, "conversation_history"),
    ],
)
async def test_a_question_out_of_range_is_refused_by_name(user: AsyncUser, options, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        await user.retrieve("What?", **options)


@pytest.mark.parametrize("query", ["", "  "])
async def test_an_empty_question_is_refused(user: AsyncUser, query: str) -> None:
    with pytest.raises(InvalidInput, match="query"):
        await user.retrieve(query)


async def test_the_model_method_is_refused_with_the_way_out_when_there_is_no_model(user: AsyncUser) -> None:
    with pytest.raises(ModelRequired, match="method='rag'"):
        await user.retrieve("What does Ana do?", method="llm")


async def test_unknown_ids_and_event_types_are_named(user: AsyncUser) -> None:
    with pytest.raises(NotFound, match="no item 'x'"):
        await user.item("x")
    with pytest.raises(NotFound, match="no resource 'x'"):
        await user.resource("x")
    with pytest.raises(NotFound, match="no category 'x'"):
        await user.file("x")
    with pytest.raises(NotFound, match="'x'"):
        await user.lineage("x")
    with pytest.raises(InvalidInput, match="unknown event type 'x'"):
        await user.events(types=["x"])


async def test_a_service_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9"):
        await AsyncMemory.connect("http://127.0.0.1:9")


def _docx() -> bytes:
    """Write the three parts that make a Word document."""
    office = "http://schemas.openxmlformats.org"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override '
        'PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{office}/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>'
        "Always check the belay device before a climb.</w:t></w:r></w:p></w:body></w:document>",
    }
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return into.getvalue()


def _pdf() -> bytes:
    stream = b"BT /F1 18 Tf 72 720 Td (Always check the belay device before a climb.) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


DOCUMENTS = {
    "html": lambda: b"<html><body><h1>Guide</h1><p>Always check the belay device before a climb.</p></body></html>",
    "docx": _docx,
    "pdf": _pdf,
}


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


@pytest.mark.parametrize("name", ["hall", "日本語の案内"])
async def test_top_k_and_usage_hold_for_every_tier(user: AsyncUser, name: str) -> None:
    done = await user.memorize(
        f"# {name}\n\nThe hall opens at ten on Sundays.\n\nThe hall opens at nine on Mondays.", name=f"{name}.md"
    )
    assert done.usage.seconds > 0
    await user.settle()
    found = await user.retrieve("When does the hall open?", top_k=1)
    assert len(found.items) == 1


@pytest.mark.parametrize("timeout", [0, -1, 4_000])
async def test_a_wait_out_of_range_is_refused_before_anything_is_written(user: AsyncUser, timeout: float) -> None:
    with pytest.raises(InvalidInput, match="timeout"):
        await user.memorize("A text.", timeout=timeout)
    assert (await user.status()).events == {}


async def test_half_a_surrogate_pair_is_named(user: AsyncUser) -> None:
    with pytest.raises(InvalidInput, match="surrogate"):
        await user.memorize("broken \ud800 text")


async def test_the_history_may_hold_whole_messages(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    found = await user.retrieve("What does she do on weekends?", conversation_history=conversation)
    assert found.rewritten_query == "What does Mia do on weekends?"

"""What a memory answers, and to whom, however it is reached."""

import io
from uuid import uuid4

import pytest

from memstream import AsyncMemory, AsyncUser
from memstream.events.errors import InvalidInput, InvalidScope, ModelRequired, NotFound, NotServed, Unavailable


async def test_a_memorized_conversation_can_be_asked_at_once(user: AsyncUser, conversation) -> None:
    done = await user.memorize(conversation, modality="conversation", name="chat-1", session="s1")
    assert done.resource.status == "ready"
    assert done.resource.session == "s1"
    found = await user.retrieve("What does Ana usually do on weekends?", top_k=5)
    assert "climbing" in found.items[0].text
    assert found.items[0].speaker == "Ana"


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


async def test_what_was_missing_is_recognised_in_its_words_and_comes_up_sooner(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    await user.settle()
    question = "What does Ana do on weekends?"
    found = await user.retrieve(question, top_k=1, exhaustive=True)
    other = next(item for item in await user.items() if "Alps" in item.text and item.id != found.items[0].id)
    before = {hit.id: hit for hit in (await user.retrieve(question, exhaustive=True)).items}[other.id]
    receipt = await user.feedback(found.retrieval_id, missing=f"Something else.\n{other.text}")
    assert receipt.missed == (other.id,)
    await user.settle()
    after = {hit.id: hit for hit in (await user.retrieve(question, exhaustive=True)).items}[other.id]
    assert after.signals["feedback"] > before.signals.get("feedback", 0)
    assert after.score > before.score
    # It is as it was before anybody said so.
    past = await user.retrieve(question, exhaustive=True, as_of=receipt.position - 1)
    assert {hit.id: hit for hit in past.items}[other.id].score == before.score


async def test_words_that_are_nobodys_and_what_was_served_are_not_missed(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    await user.settle()
    found = await user.retrieve("What does Ana do on weekends?", exhaustive=True)
    assert (await user.feedback(found.retrieval_id, missing="the name of her dog")).missed == ()
    assert (await user.feedback(found.retrieval_id, missing=found.items[0].text)).missed == ()


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


@pytest.mark.parametrize("name", ["hall", "日本語の案内"])
async def test_top_k_and_usage_hold_for_every_tier(user: AsyncUser, name: str) -> None:
    done = await user.memorize(
        f"# {name}\n\nThe hall opens at ten on Sundays.\n\nThe hall opens at nine on Mondays.", name=f"{name}.md"
    )
    assert done.usage.seconds > 0
    await user.settle()
    found = await user.retrieve("When does the hall open?", top_k=1)
    assert len(found.items) == 1


async def test_the_history_may_hold_whole_messages(user: AsyncUser, conversation) -> None:
    await user.memorize(conversation)
    found = await user.retrieve("What does she do on weekends?", conversation_history=conversation)
    assert found.rewritten_query == "What does Mia do on weekends?"

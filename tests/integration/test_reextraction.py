"""History goes through another extractor: the present changes, the past stays, and nothing is stated twice."""

import pytest

from memstream import AsyncMemory
from memstream.events.errors import InvalidInput, ModelRequired
from memstream.services import operations as o

LONG = "I bought a red canoe in April. My brother Leo paddles it on the lake. We capsized near the old mill."
BESIDE = "My dentist is in Bern."


async def filled(memory: AsyncMemory, user: str) -> None:
    """Memorize two conversations that share a statement."""
    one = memory.user(user)
    await one.memorize([{"role": "user", "name": "Ana", "content": text} for text in (LONG, BESIDE)], name="first")
    await one.memorize([{"role": "user", "name": "Ana", "content": BESIDE}], name="second")
    await one.settle()


async def test_another_extractor_supersedes_the_old_statements(memory: AsyncMemory) -> None:
    await filled(memory, "ana")
    ana = memory.user("ana")
    before = await ana.items()
    then = await ana.settle()
    planned = await memory.operate(o.Reextract(extractor="sentences", dry_run=True))
    assert (planned.resources, planned.items_superseded) == (2, 1)
    assert {item.id for item in await ana.items()} == {item.id for item in before}
    done = await memory.operate(o.Reextract(extractor="sentences"))
    assert done.items_new == planned.items_new == 3
    await ana.settle()
    now = {item.text for item in await ana.items()}
    assert now == {
        "I bought a red canoe in April.",
        "My brother Leo paddles it on the lake.",
        "We capsized near the old mill.",
        BESIDE,
    }
    assert {item.text for item in await ana.items(as_of=then)} == {LONG, BESIDE}
    old = await ana.item(next(item.id for item in before if item.text == LONG))
    assert "extracted again" in str(old.end_reason)
    assert all(one.status == "ready" for one in await ana.resources())
    assert (await ana.retrieve("Who paddles the canoe?")).items[0].text == "My brother Leo paddles it on the lake."
    assert (await memory.operate(o.Verify())).matches


async def test_a_second_run_finds_nothing_to_do(memory: AsyncMemory) -> None:
    await filled(memory, "ana")
    await memory.operate(o.Reextract(extractor="sentences"))
    again = await memory.operate(o.Reextract(extractor="sentences"))
    assert (again.resources, again.already_done, again.items_new) == (0, 2, 0)


async def test_the_first_extractor_brings_its_statements_back(memory: AsyncMemory) -> None:
    await filled(memory, "ana")
    ana = memory.user("ana")
    before = {item.id: item.categories for item in await ana.items()}
    await memory.operate(o.Reextract(extractor="sentences"))
    back = await memory.operate(o.Reextract(extractor="rules"))
    assert back.items_superseded == 3
    await ana.settle()
    assert {item.id: item.categories for item in await ana.items()} == before
    assert all(one.status == "ready" for one in await ana.resources())
    assert (await memory.operate(o.Verify())).matches


async def test_only_the_named_user_is_gone_over(memory: AsyncMemory) -> None:
    await filled(memory, "ana")
    await filled(memory, "ben")
    done = await memory.operate(o.Reextract(user="ana", extractor="sentences"))
    assert done.resources == 2
    assert {item.text for item in await memory.user("ben").items()} == {LONG, BESIDE}


async def test_unknown_extractors_and_prompts_without_a_model_are_refused(memory: AsyncMemory) -> None:
    with pytest.raises(InvalidInput, match="known are model, rules, sentences"):
        await memory.operate(o.Reextract(extractor="oracle"))
    with pytest.raises(ModelRequired, match="model"):
        await memory.operate(o.Reextract(extractor="rules", prompt_version="7"))

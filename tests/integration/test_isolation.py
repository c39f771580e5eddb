"""The wall: whatever two tenants and two users do, nothing of one is returned, listed, counted or traced for another."""

import io
from collections.abc import AsyncIterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memstream import AsyncMemory, AsyncUser
from memstream.events.errors import NotFound

_RUN = count()
# Ids that look alike, contain each other, or mean something to NATS or SQL.
NAMES = ["ana", "an", "ana.b", "ana b", "*", ">", "ANA", "ana' OR '1'='1", "ana/item", "%41na"]
STATEMENTS = st.sampled_from(
    ["I climb on weekends with Mia.", "My flat is in Porto.", "I am allergic to nuts.", "The meeting moved to Friday."]
)
ACTIONS = st.lists(st.tuples(st.integers(0, 3), STATEMENTS, st.booleans()), min_size=1, max_size=6)


@pytest.fixture(scope="module")
async def memory(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(tmp_path_factory.mktemp("wall")) as opened:
        yield opened


async def act(user: AsyncUser, statement: str, asks: bool) -> set[str]:
    """Memorize, and perhaps ask and give feedback; returns every id that this user now owns."""
    done = await user.memorize([{"role": "user", "content": statement}])
    owned = {done.resource.id, *(item.id for item in done.items), *(one.id for one in done.categories)}
    if asks:
        found = await user.retrieve("Where, when and with whom?", exhaustive=True)
        owned |= {found.retrieval_id, *(hit.id for hit in found.resources)}
        if found.items:
            await user.feedback(found.retrieval_id, used=[found.items[0].id])
    return owned


async def seen(user: AsyncUser) -> set[str]:
    """Return every id that this user can see anywhere."""
    found = await user.retrieve("Porto, Friday, nuts, climbing on weekends with Mia", top_k=50, exhaustive=True)
    ids = {hit.id for tier in (found.categories, found.items, found.resources) for hit in tier}
    ids |= {item.id for item in await user.items()} | {one.id for one in await user.categories()}
    ids |= {one.id for one in await user.resources()} | {file.category_id for file in await user.files()}
    ids |= {citation for file in await user.files() for citation in file.citations}
    return ids


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True), actions=ACTIONS)
async def test_nothing_of_one_user_reaches_another(memory: AsyncMemory, names: list[str], actions) -> None:
    run = next(_RUN)
    users = [memory.user(name, tenant=f"{tenant} {run}") for tenant in ("acme", "acme.x") for name in names]
    owned: list[set[str]] = [set() for _ in users]
    for place, statement, asks in actions:
        owned[place] |= await act(users[place], statement, asks)
    for place, user in enumerate(users):
        foreign = set().union(*(ids for other, ids in enumerate(owned) if other != place))
        assert not await seen(user) & foreign
        for event in await user.events(limit=10_000):
            assert event.id not in foreign
        counts = await user.counts()
        assert counts.resources == len({statement for who, statement, _ in actions if who == place})
        for identifier in sorted(foreign)[:12]:
            for call in (user.item, user.resource, user.lineage, user.file, user.segments):
                with pytest.raises(NotFound):
                    await call(identifier)
            with pytest.raises(NotFound):
                await user.content(identifier, io.BytesIO())
            with pytest.raises(NotFound):
                await user.feedback(identifier, missing="anything")

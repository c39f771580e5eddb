"""What is forgotten is gone from every byte on the disk, and nothing else is."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from documents import DOCUMENTS

from memstream import AsyncMemory, AsyncUser
from memstream.events.errors import InvalidInput, NotFound
from memstream.services import operations as o

SECRET = "The code of the safe behind the Vermeer is 4711."
OTHER = "On weekends I usually go climbing in the hall."


def conversation(secret: str = SECRET) -> list[dict[str, Any]]:
    """Return a conversation that holds a secret among other things."""
    return [
        {"role": "user", "name": "Ana", "content": OTHER, "id": "m1"},
        {"role": "user", "name": "Ana", "content": secret, "id": "m2"},
        {"role": "assistant", "content": f"You said: “{secret}” I keep it in mind, Ana.", "id": "m2a"},
        {"role": "user", "name": "Ana", "content": "We moved to Porto in March.", "id": "m3"},
    ]


def holding(root: Path, text: str) -> list[str]:
    """Return the files under a directory that hold a text, as it is or as JSON writes it."""
    wanted = {text.encode(), json.dumps(text)[1:-1].encode(), text.encode("utf-16-le")}
    return [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file() and any(one in path.read_bytes() for one in wanted)
    ]


async def used(user: AsyncUser, secret: str = SECRET) -> str:
    """Memorize the conversation, ask for the secret, give feedback, and wait for the files; return its item's id."""
    await user.memorize(conversation(secret), name="chat")
    await user.settle()
    found = await user.retrieve(f"Is this so: {secret}", exhaustive=True)
    hit = next(hit for hit in found.items if hit.text == secret)
    await user.feedback(found.retrieval_id, used=[hit.id], missing=f"whether {secret} still holds")
    await user.settle()
    return hit.id


async def digest_of(memory: AsyncMemory, user: str) -> str:
    """Return the digest of one user's memory."""
    return (await memory.operate(o.TakeDigest(user=user))).digest


async def test_a_forgotten_item_is_nowhere_and_the_rest_is_where_it_was(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        ana, ben = memory.user("ana"), memory.user("ben")
        item = await used(ana)
        await used(ben, "Ben's own secret is quite another one.")
        await memory.operate(o.Replay())
        assert holding(tmp_path, SECRET)
        before = await digest_of(memory, "ben")
        done = await memory.operate(o.ForgetItem(user="ana", item_id=item))
        assert done.redacted > 0
        assert holding(tmp_path, SECRET) == []
        assert {one.text for one in await ana.items()} >= {OTHER, "We moved to Porto in March."}
        assert all(one.id != item for one in await ana.items())
        assert (await ana.retrieve("Where did we move?")).items[0].text == "We moved to Porto in March."
        assert all("4711" not in file.text for file in await ana.files())
        assert await digest_of(memory, "ben") == before
        verified = await memory.operate(o.Verify())
        assert verified.matches, verified.difference
        with pytest.raises(NotFound):
            await memory.operate(o.ForgetItem(user="ana", item_id=item))
        with pytest.raises(NotFound):
            await ana.item(item)
    assert holding(tmp_path, SECRET) == []


async def test_the_original_of_a_resource_loses_the_words_of_a_forgotten_item(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        ana = memory.user("ana")
        item = await used(ana)
        await memory.operate(o.ForgetItem(user="ana", item_id=item))
        (resource,) = await ana.resources()
        with (tmp_path / "copy.json").open("w+b") as copy:
            await ana.content(resource.id, copy)
        kept = (tmp_path / "copy.json").read_text()
        assert "Porto" in kept
        assert "[forgotten]" in kept
        assert resource.status == "ready"


async def test_a_document_that_cannot_be_blotted_goes_as_a_whole_and_only_if_it_holds_the_words(tmp_path: Path) -> None:
    guide = DOCUMENTS["docx"]()
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        ana = memory.user("ana")
        item = await used(ana)
        document = await ana.memorize(guide, modality="document", name="guide.docx")
        await memory.operate(o.ForgetItem(user="ana", item_id=item))
        kept = io.BytesIO()
        await ana.content(document.resource.id, kept)
        assert kept.getvalue() == guide
        await memory.operate(o.ForgetItem(user="ana", item_id=document.items[0].id))
        left = io.BytesIO()
        await ana.content(document.resource.id, left)
        assert left.getvalue() != guide
        assert b"belay" not in left.getvalue()


async def test_a_forgotten_resource_takes_along_what_only_it_says(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        ana = memory.user("ana")
        await used(ana)
        done = await ana.memorize([{"role": "user", "name": "Ana", "content": OTHER}], name="again")
        await ana.settle()
        first = next(one for one in await ana.resources() if one.name == "chat")
        await memory.operate(o.ForgetResource(user="ana", resource_id=first.id))
        assert {one.text for one in await ana.items()} == {OTHER}
        assert [one.id for one in await ana.resources()] == [done.resource.id]
        assert holding(tmp_path, "moved to Porto") == []
        # What the user asked is their own: only the resource, and what comes from it, is gone.
        assert holding(tmp_path, f'"content":"{SECRET}') == []
        assert (await ana.retrieve("What does Ana do on weekends?")).items[0].text == OTHER
        assert (await memory.operate(o.Verify())).matches


async def test_a_forgotten_user_leaves_nothing_and_may_come_back(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        ana, ben = memory.user("ana"), memory.user("ben")
        await used(ana)
        await used(ben, "Ben's own secret is quite another one.")
        before = await digest_of(memory, "ben")
        done = await memory.operate(o.ForgetUser(user="ana", reason="left us"))
        assert done.removed > 0
        for text in (SECRET, "Vermeer"):
            assert holding(tmp_path, text) == []
        assert await ana.items() == []
        assert set((await ana.counts()).model_dump(exclude={"position"}).values()) == {0}
        events = await ana.events()
        assert [event.type for event in events] == ["user.erased"]
        assert await digest_of(memory, "ben") == before
        assert (await memory.operate(o.Verify())).matches
        with pytest.raises(NotFound, match="erased already"):
            await memory.operate(o.ForgetUser(user="ana"))
        again = await ana.memorize(conversation(), name="chat")
        assert not again.duplicate
        assert again.resource.status == "ready"
        assert SECRET in {one.text for one in await ana.items()}
        assert (await ana.memorize(conversation(), name="chat")).duplicate
        assert (await memory.operate(o.Verify())).matches


async def test_an_erasure_needs_somebody_and_something(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await used(memory.user("ana"))
        with pytest.raises(NotFound, match="unknown"):
            await memory.operate(o.ForgetUser(user="nobody"))
        with pytest.raises(InvalidInput, match="whose"):
            await memory.operate(o.ForgetUser())
        with pytest.raises(NotFound):
            await memory.operate(o.ForgetItem(user="ben", item_id=(await memory.user("ana").items())[0].id))
        with pytest.raises(NotFound):
            await memory.operate(o.ForgetResource(user="ana", resource_id="no-such"))
        assert len(await memory.user("ana").items()) >= 3

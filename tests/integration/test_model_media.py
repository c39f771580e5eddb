"""Images and recordings: put into words by a model once, memorized like a text, and read from the log ever after."""

import base64
import io
import wave
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import Failure, Request, ScriptedLLM, refused
from thinking import Mind
from waiting import until

from memstream import AsyncMemory
from memstream.events import EventPublisher
from memstream.events.errors import InvalidInput, ProcessingFailed
from memstream.events.subjects import Scope
from memstream.services import operations as o
from memstream.services.bootstrap import run
from memstream.services.settings import Settings

SEEN = "A whiteboard with the plan of the garden party.\n\nIt says: Noor brings the apricot tart on Saturday 9 May."
HEARD = "Hello, this is Mia. I moved to Porto in March, and my new number ends in four two."


def png() -> bytes:
    """Return a PNG of one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\x00\x80")) + chunk(b"IEND", b"")


def wav() -> bytes:
    """Return a moment of silence."""
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(b"\x00\x00" * 800)
    return content.getvalue()


@pytest.fixture
def mind() -> Iterator[Mind]:
    with ScriptedLLM() as server:
        mind = Mind(server)
        mind.scripts |= {"describe": lambda _: SEEN, "transcribe": lambda _: HEARD}
        yield mind


def settings(root: Path, server: ScriptedLLM, *tasks: str, chats: bool = False) -> Settings:
    """Return settings with which the scripted model does some tasks, and chats only when told."""
    (root / "tasks.toml").write_text(
        f'[profiles.one]\nmodel = "scripted"\nbase_url = "{server.url}"\napi_key = "any"\nretries = 0\n'
        f'[tasks]\ndefault = "{"one" if chats else "none"}"\n' + "".join(f'{task} = "one"\n' for task in tasks)
    )
    return Settings(models_file=root / "tasks.toml")


@asynccontextmanager
async def perceiving(root: Path, server: ScriptedLLM, *tasks: str, chats: bool = False) -> AsyncIterator[AsyncMemory]:
    """Open a memory that perceives with the scripted model."""
    told = settings(root, server, *tasks, chats=chats)
    async with await AsyncMemory.open(root / "memory", settings=told) as memory:
        yield memory


@pytest.fixture
async def memory(tmp_path: Path, mind: Mind) -> AsyncIterator[AsyncMemory]:
    async with perceiving(tmp_path, mind.server, "vision", "transcribe") as opened:
        yield opened


def image_of(request: Request) -> bytes:
    """Return the image that a model was shown."""
    (part,) = [one for one in request.messages[1]["content"] if one["type"] == "image_url"]
    kind, data = part["image_url"]["url"].split(",", 1)
    assert kind == "data:image/png;base64"
    return base64.b64decode(data)


async def test_an_image_is_described_and_what_it_shows_is_found(memory: AsyncMemory, mind: Mind) -> None:
    ana = memory.user("ana")
    done = await ana.memorize(png(), modality="image", name="whiteboard.png")
    assert (done.resource.modality, done.resource.media_type, done.resource.status) == ("image", "image/png", "ready")
    (request,) = mind.calls("describe")
    assert image_of(request) == png()
    found = await ana.retrieve("Who brings the tart?")
    assert "Noor brings the apricot tart" in found.items[0].text
    assert found.items[0].sources[0].resource_id == done.resource.id
    original = io.BytesIO()
    await ana.content(done.resource.id, original)
    assert original.getvalue() == png()


async def test_a_recording_is_transcribed_and_what_was_said_is_found(
    memory: AsyncMemory, mind: Mind, tmp_path: Path
) -> None:
    (tmp_path / "voicemail.wav").write_bytes(wav())
    ana = memory.user("ana")
    done = await ana.memorize(tmp_path / "voicemail.wav")
    assert done.resource.modality == "audio"
    (request,) = mind.server.asked("audio/transcriptions")
    assert request.body == {"model": "scripted", "name": "voicemail.wav", "type": "audio/wav", "size": len(wav())}
    assert any("Porto" in hit.text for hit in (await ana.retrieve("Where did Mia move to?")).items)


async def test_the_words_and_what_they_cost_are_in_the_event(memory: AsyncMemory) -> None:
    ana = memory.user("ana")
    done = await ana.memorize(png(), modality="image", name="whiteboard.png")
    (event,) = await ana.events(types=["resource.described"])
    assert event.data["describer"] == "scripted describe-1"
    assert "apricot tart" in "".join(segment["text"] for segment in event.data["segments"])
    assert event.data["usage"]["calls"] == 1
    assert done.usage.tokens_in == event.data["usage"]["tokens_in"] > 0
    report = await memory.operate(o.ReportCosts(user="ana"))
    assert [(one.task, one.calls) for one in report.costs] == [("vision", 1)]


async def test_neither_a_replay_nor_another_extraction_asks_again(memory: AsyncMemory, mind: Mind) -> None:
    ana = memory.user("ana")
    await ana.memorize(png(), modality="image", name="whiteboard.png")
    await ana.memorize(wav(), modality="audio", name="voicemail.wav")
    mind.server.forget()
    # Whatever the model would say now.
    mind.scripts |= {"describe": lambda _: "Something else entirely.", "transcribe": lambda _: "Nothing."}
    assert (await memory.operate(o.Verify())).matches
    again = await memory.operate(o.Reextract(extractor="sentences"))
    assert again.resources == 2
    assert not [item for item in await ana.items() if "else entirely" in item.text]
    assert mind.server.requests == []
    assert (await memory.operate(o.Verify())).matches


async def test_the_same_image_again_costs_nothing(memory: AsyncMemory, mind: Mind) -> None:
    ana = memory.user("ana")
    await ana.memorize(png(), modality="image", name="whiteboard.png")
    assert (await ana.memorize(png(), modality="image", name="whiteboard.png")).duplicate
    assert len(mind.calls("describe")) == 1


async def test_a_model_that_extracts_reads_the_words_of_an_image_as_a_transcript(tmp_path: Path, mind: Mind) -> None:
    async with perceiving(tmp_path, mind.server, "vision", chats=True) as memory:
        await memory.user("ana").memorize(png(), modality="image", name="whiteboard.png")
    (call,) = mind.calls("extract")
    assert "Noor brings the apricot tart on Saturday 9 May." in call.text


async def test_an_extraction_that_failed_behind_the_description_does_not_describe_again(
    tmp_path: Path, mind: Mind
) -> None:
    extract, failing = mind.scripts["extract"], [True]
    mind.scripts["extract"] = lambda text: Failure(503) if failing[0] else extract(text)
    async with perceiving(tmp_path, mind.server, "vision", chats=True) as memory:
        ana = memory.user("ana")
        await ana.memorize(png(), modality="image", name="whiteboard.png", wait=False)

        async def tried_twice() -> bool:
            return len(mind.calls("extract")) > 1

        await until(tried_twice)
        failing[0] = False

        async def ready() -> bool:
            return [one.status for one in await ana.resources()] == ["ready"]

        await until(ready, timeout=40)
    assert len(mind.calls("describe")) == 1


async def test_a_server_that_is_away_is_waited_for(memory: AsyncMemory, mind: Mind) -> None:
    mind.server.queue(Failure(503), Failure(503))
    done = await memory.user("ana").memorize(png(), modality="image", name="whiteboard.png")
    assert done.resource.status == "ready"
    assert not await memory.user("ana").events(types=["extraction.failed"])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(refused("I do not describe people."), "I do not describe people", id="refusal"),
        pytest.param("", "it says nothing", id="empty"),
        pytest.param(Failure(400, "unsupported image"), "unsupported image", id="format"),
    ],
)
async def test_what_the_model_will_not_describe_is_kept_and_says_why(
    memory: AsyncMemory, mind: Mind, answer: Any, told: str
) -> None:
    mind.scripts["describe"] = lambda _: answer
    ana = memory.user("ana")
    with pytest.raises(ProcessingFailed, match=told):
        await ana.memorize(png(), modality="image", name="whiteboard.png")
    (failed,) = await ana.events(types=["extraction.failed"])
    assert (failed.data["stage"], failed.data["parked"]) == ("describe", True)
    assert len(mind.calls("describe")) == 1
    # An answer has its price, also one that is no description.
    assert failed.data["usage"]["calls"] == (0 if isinstance(answer, Failure) else 1)


async def test_silence_gives_no_items_and_is_no_failure(memory: AsyncMemory, mind: Mind) -> None:
    mind.scripts["transcribe"] = lambda _: ""
    done = await memory.user("ana").memorize(wav(), modality="audio", name="silence.wav")
    assert (done.resource.status, done.items) == ("ready", ())


async def test_a_forgotten_statement_takes_the_image_that_shows_it_and_no_other(
    memory: AsyncMemory, mind: Mind
) -> None:
    ana = memory.user("ana")
    shown = await ana.memorize(png(), modality="image", name="whiteboard.png")
    heard = await ana.memorize(wav(), modality="audio", name="voicemail.wav")
    (item,) = [one for one in shown.items if "apricot tart" in one.text]
    await memory.operate(o.ForgetItem(user="ana", item_id=item.id))
    left = {name: io.BytesIO() for name in ("shown", "heard")}
    await ana.content(shown.resource.id, left["shown"])
    await ana.content(heard.resource.id, left["heard"])
    assert b"PNG" not in left["shown"].getvalue()
    assert left["heard"].getvalue() == wav()
    # Its other words stay, and are read from the log.
    mind.server.forget()
    await memory.operate(o.Reextract(extractor="sentences"))
    texts = [one.text for one in await ana.items()]
    assert any("garden party" in text for text in texts)
    assert not any("apricot" in text for text in texts)
    assert mind.server.requests == []


@pytest.mark.parametrize(
    ("content", "given", "told"),
    [
        (b"no image", {"modality": "image", "name": "a.png"}, "does not start like one"),
        (b"BM....", {"modality": "image", "name": "a.bmp"}, "give PNG, JPEG, GIF or WebP"),
        (png(), {"modality": "image"}, "by its name"),
        (b"text", {"modality": "audio", "name": "a.txt"}, "give MP3, WAV, M4A or OGG"),
        (b"video", {"modality": "video", "name": "a.mp4"}, "memorize its sound as audio"),
    ],
)
async def test_what_no_model_reads_is_refused_at_the_door(
    memory: AsyncMemory, mind: Mind, content: bytes, given: dict[str, str], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        await memory.user("ana").memorize(content, **given)
    assert mind.server.requests == []


async def test_without_a_model_for_it_a_modality_is_refused_with_the_setting_to_make(
    tmp_path: Path, mind: Mind
) -> None:
    async with perceiving(tmp_path, mind.server, "transcribe") as memory:
        with pytest.raises(InvalidInput, match="MEMSTREAM_VISION_MODEL"):
            await memory.user("ana").memorize(png(), modality="image", name="whiteboard.png")
        assert (await memory.user("ana").memorize(wav(), modality="audio", name="a.wav")).items


async def test_what_a_runtime_published_and_nobody_can_read_is_kept_and_says_why(tmp_path: Path, mind: Mind) -> None:
    told = settings(tmp_path, mind.server, "transcribe")
    async with run(told.model_copy(update={"data_dir": tmp_path / "memory"})) as service:
        publisher = EventPublisher(service.log, media=("image",))
        await publisher.publish_resource("ana", io.BytesIO(png()), modality="image", name="whiteboard.png")
        failures: list[str] = []

        async def failed() -> bool:
            events = service.engine.events(Scope.of("default", "ana"), types=["extraction.failed"])
            failures[:] = [event.data["reason"] async for event in events]
            return bool(failures)

        await until(failed)
        assert "MEMSTREAM_VISION_MODEL" in failures[0]

"""What ``wrap`` is told: whose memory, how much is gathered, and what cannot work."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chatting import FACT, QUESTION, chat, counted, settled
from openai import AzureOpenAI, OpenAI
from scripted_llm import ScriptedLLM
from waiting import until_now

from memstream import Memory
from memstream.events.errors import InvalidInput, InvalidScope
from memstream.openai import MemoryOpenAI, wrap


def test_each_call_may_be_another_users_and_users_are_walls(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    client = wrap(plain, memory=memory)
    chat(client, FACT, memory_user=user, memory_session="s1")
    chat(client.with_memory(user=f"{user} 2"), "I live in Oslo.")
    assert settled(client, memory, user) == [FACT]
    assert settled(client, memory, f"{user} 2") == ["I live in Oslo."]
    assert memory.user(user).resources()[0].session == "s1"
    chat(client, QUESTION, memory_user=f"{user} 2")
    assert FACT not in llm.requests[-1].text
    assert not {"memory_user", "memory_session"} & llm.requests[0].body.keys()


def test_a_function_may_say_whose_memory_it_is(plain: OpenAI, memory: Memory, user: str) -> None:
    names = iter([user])
    client = wrap(plain, memory=memory, user=lambda: next(names), session=lambda: "s2")
    chat(client, FACT)
    assert settled(client, memory, user) == [FACT]
    assert memory.user(user).resources()[0].session == "s2"


def test_a_copy_with_options_remembers_too(llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str) -> None:
    copied = client.with_options(max_retries=1, default_headers={"X-Own": "1"})
    chat(copied, FACT)
    assert settled(client, memory, user) == [FACT]
    assert llm.requests[0].headers["x-own"] == "1"


def test_exchanges_that_gather_are_one_conversation_of_their_session(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    client = wrap(plain, memory=memory, user=user, session="s1", gather=2)
    other = client.with_memory(session="s2")
    for each, text in ((client, FACT), (other, "I live in Oslo."), (client, "My sister is Mia.")):
        chat(each, text)
    until_now(lambda: counted(memory, user, "resource.ingested") == 1)
    client.memory.flush(20)
    memory.user(user).settle()
    first, second = memory.user(user).resources()
    assert (first.session, second.session) == ("s1", "s2")
    said = "".join(segment.text for segment in memory.user(user).segments(first.id))
    assert FACT in said
    assert "Mia" in said


def test_exchanges_that_gather_do_not_wait_longer_than_their_session_is_idle(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    client = wrap(plain, memory=memory, user=user, gather=9, idle=0.05)
    chat(client, FACT)
    until_now(lambda: counted(memory, user, "resource.ingested") == 1)
    assert settled(client, memory, user) == [FACT]


def test_reading_alone_memorizes_nothing(plain: OpenAI, memory: Memory, user: str) -> None:
    client = wrap(plain, memory=memory, user=user, memorize=False)
    chat(client, FACT)
    assert settled(client, memory, user) == []


def test_nobodys_memory_and_impossible_users_are_refused_before_the_model_is_asked(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory
) -> None:
    client = wrap(plain, memory=memory)
    with pytest.raises(InvalidInput, match="memory_user="):
        chat(client, FACT)
    with pytest.raises(InvalidScope):
        chat(client, FACT, memory_user=" ")
    assert llm.requests == []


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0},
        {"gather": 0},
        {"idle": 0},
        {"max_tokens": 1},
        {"method": "guess"},
        {"timeout": 0},
        {"on_error": "hide"},
        {"memory": "data"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_cannot_work_are_refused_at_once(plain: OpenAI, memory: Memory, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        wrap(plain, **{"memory": memory, "user": "ana", **options})


def test_what_cannot_be_wrapped_is_said(plain: OpenAI, client: MemoryOpenAI, memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="with_memory"):
        wrap(client, memory=memory, user="ana")
    with pytest.raises(InvalidInput, match="got str"):
        wrap("client", memory=memory, user="ana")  # type: ignore[call-overload]  # refused, types or not


class OwnOpenAI(OpenAI):
    """A client class of somebody else's."""

    def greet(self) -> str:
        return "hello"


def test_a_client_of_ones_own_class_stays_one(llm: ScriptedLLM, memory: Memory, user: str) -> None:
    with OwnOpenAI(base_url=llm.url, api_key="key", max_retries=0) as own:
        client = wrap(own, memory=memory, user=user)
        assert isinstance(client, OwnOpenAI)
        assert client.greet() == "hello"
        chat(client, FACT)
        assert settled(client, memory, user) == [FACT]


def test_a_client_of_azure_stays_one_in_its_copies_too(llm: ScriptedLLM, memory: Memory, user: str) -> None:
    with AzureOpenAI(azure_endpoint=llm.url, api_version="1", api_key="key") as azure:
        client = wrap(azure, memory=memory, user=user).with_options(timeout=3)
        assert isinstance(client, AzureOpenAI)
        assert client.memory.failures == {}


def test_threads_share_a_client_each_with_its_own_user(client: MemoryOpenAI, memory: Memory, user: str) -> None:
    users = [f"{user} {number}" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        for one in users * 3:
            threads.submit(chat, client.with_memory(user=one), f"{FACT} I am {one}.")
    client.memory.flush(20)
    assert [counted(memory, one, "resource.ingested") for one in users] == [3] * 6
    assert counted(memory, user, "resource.ingested") == 0

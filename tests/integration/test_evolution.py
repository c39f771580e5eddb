"""Evolution of a real memory: used, evolved, undone; and what happens when it is asked for nonsense."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from used import TOPICS, asked, memorized
from waiting import until

from memstream import AsyncMemory, AsyncUser
from memstream.events.errors import InvalidInput, NotFound, NotServed, Unavailable
from memstream.evolution.digest import structure_digest
from memstream.evolution.loading import load
from memstream.evolution.objective import Board
from memstream.evolution.policy import policy_named
from memstream.evolution.rerun import rerun
from memstream.projections.apply import space_name
from memstream.projections.usage import Usage
from memstream.services import evolving_requests as r
from memstream.services import operations as o
from memstream.services.engine import Engine
from memstream.services.evolving import Evolution, _StaleError
from memstream.services.memory import MemoryProcess
from memstream.services.operating import Operations

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
async def memory(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncMemory]:
    """Open a memory for the whole module; every test uses a user of its own."""
    async with await AsyncMemory.open(tmp_path_factory.mktemp("evolution")) as opened:
        yield opened


@pytest.fixture
async def ana(memory: AsyncMemory, request: pytest.FixtureRequest) -> AsyncUser:
    """Return a user whose memory was used."""
    user = memory.user(request.node.name)
    await memorized(user)
    await asked(user)
    return user


@pytest.fixture(scope="module")
async def calm(memory: AsyncMemory) -> AsyncUser:
    """Return a user whose memory was used, for tests that change nothing."""
    user = memory.user("calm")
    await memorized(user)
    await asked(user)
    return user


def process_of(memory: AsyncMemory) -> MemoryProcess:
    engine = memory._backend
    assert isinstance(engine, Engine)
    assert isinstance(engine._port, MemoryProcess)
    return engine._port


def digest(memory: AsyncMemory, user: AsyncUser) -> str:
    return structure_digest(process_of(memory).ledger, user.scope.key)


async def evolved(memory: AsyncMemory, user: AsyncUser) -> r.Evolved:
    done = await memory.operate(r.Evolve(user=user.scope.user, dry_run=False))
    await user.settle()
    return done


async def steps_of(memory: AsyncMemory, user: AsyncUser) -> list[str]:
    history = await memory.operate(r.GetEvolution(user=user.scope.user, rejected=False))
    return [one.step_id for one in history.steps if one.reverted is None]


async def test_a_dry_run_says_what_would_be_done_and_writes_nothing(memory: AsyncMemory, calm: AsyncUser) -> None:
    before, end = digest(memory, calm), (await calm.status()).log_position
    plan = await memory.operate(r.Evolve(user=calm.scope.user))
    assert plan.dry_run
    assert any(one.accepted for one in plan.steps)
    assert plan.after.reading_cost < plan.before.reading_cost
    assert digest(memory, calm) == before
    assert (await calm.status()).log_position == end


async def test_a_run_makes_what_its_dry_run_promised_and_loses_nothing(memory: AsyncMemory, ana: AsyncUser) -> None:
    items = {one.id for one in await ana.items(limit=500)}
    plan = await memory.operate(r.Evolve(user=ana.scope.user))
    done = await evolved(memory, ana)
    assert [(one.kind, one.accepted) for one in done.steps] == [(one.kind, one.accepted) for one in plan.steps]
    after = await ana.items(limit=500)
    assert {one.id for one in after} == items
    assert all(one.categories for one in after)
    assert {one.category_id for one in await ana.files()} == {one.id for one in await ana.categories()}
    again = await memory.operate(r.Evolve(user=ana.scope.user))
    assert again.before.reading_cost == pytest.approx(done.after.reading_cost, abs=0.01)


async def test_trials_are_recorded_with_their_evidence_kept_or_not(memory: AsyncMemory, ana: AsyncUser) -> None:
    done = await evolved(memory, ana)
    history = await memory.operate(r.GetEvolution(user=ana.scope.user))
    assert [one.kind for one in history.steps if one.accepted] == [one.kind for one in done.steps if one.accepted]
    assert len(history.steps) == len(done.steps)
    accepted = next(one for one in history.steps if one.accepted)
    assert accepted.before > accepted.after
    assert accepted.interval[0] > 0
    assert accepted.passages
    assert "of 30 recorded retrievals" in accepted.proposal


async def test_undoing_all_steps_restores_the_structure_exactly(memory: AsyncMemory, ana: AsyncUser) -> None:
    before = digest(memory, ana)
    await evolved(memory, ana)
    assert digest(memory, ana) != before
    for step in reversed(await steps_of(memory, ana)):
        undone = await memory.operate(r.RevertStep(user=ana.scope.user, step_id=step))
    await ana.settle()
    assert digest(memory, ana) == before == undone.structure


async def test_a_rebuild_of_a_memory_that_evolved_and_was_undone_is_the_same(
    memory: AsyncMemory, ana: AsyncUser
) -> None:
    await evolved(memory, ana)
    await memory.operate(r.RevertStep(user=ana.scope.user, step_id=(await steps_of(memory, ana))[-1]))
    await evolved(memory, ana)
    verified = await memory.operate(o.Verify(user=ana.scope.user))
    assert verified.matches, verified.difference
    assert not await memory.operate(o.ListParkedEvents(user=ana.scope.user))


async def test_a_step_is_undone_once_and_only_before_what_builds_on_it(memory: AsyncMemory, ana: AsyncUser) -> None:
    await evolved(memory, ana)
    first = (await steps_of(memory, ana))[0]
    moved = (await ana.categories())[0]
    held = next(one for one in await ana.items(limit=500) if moved.id in one.categories)
    assert held.categories
    undone = await memory.operate(r.RevertStep(user=ana.scope.user, step_id=first[:8]))
    assert undone.step_id == first
    with pytest.raises(InvalidInput, match="was undone already, at position"):
        await memory.operate(r.RevertStep(user=ana.scope.user, step_id=first))


async def test_an_unknown_step_is_not_found(memory: AsyncMemory, calm: AsyncUser) -> None:
    with pytest.raises(NotFound, match="no step 'feedfeed'"):
        await memory.operate(r.RevertStep(user=calm.scope.user, step_id="feedfeed"))


async def test_a_rejected_step_cannot_be_undone(memory: AsyncMemory, ana: AsyncUser) -> None:
    await evolved(memory, ana)
    history = await memory.operate(r.GetEvolution(user=ana.scope.user))
    rejected = [one for one in history.steps if not one.accepted]
    assert rejected
    with pytest.raises(InvalidInput, match="was rejected by its trial"):
        await memory.operate(r.RevertStep(user=ana.scope.user, step_id=rejected[0].step_id))


async def test_new_statements_go_to_the_categories_that_a_user_starts_with(memory: AsyncMemory, ana: AsyncUser) -> None:
    await evolved(memory, ana)
    made = await ana.memorize([{"role": "user", "name": "Ana", "content": "I love the smell of rain in July."}])
    await ana.settle()
    origins = {one.origin for one in made.categories}
    assert origins == {"default"}
    assert all(one.categories for one in await ana.items(limit=500))


async def test_undoing_a_step_keeps_what_was_memorized_since(memory: AsyncMemory, ana: AsyncUser) -> None:
    await evolved(memory, ana)
    made = await ana.memorize([{"role": "user", "name": "Ana", "content": "My umbrella is green and rather old."}])
    for step in reversed(await steps_of(memory, ana)):
        await memory.operate(r.RevertStep(user=ana.scope.user, step_id=step))
    await ana.settle()
    assert (await ana.item(made.items[0].id)).categories
    assert not await memory.operate(o.ListParkedEvents(user=ana.scope.user))


async def test_a_step_is_not_taken_on_a_memory_that_changed_meanwhile(memory: AsyncMemory, ana: AsyncUser) -> None:
    evolution = _evolution(memory)
    plan = await evolution._plan(ana.scope, policy_named("default"), lambda _: None)
    await ana.memorize([{"role": "user", "name": "Ana", "content": "We bought a blue canoe for the lake."}])
    end = (await ana.status()).log_position
    with pytest.raises(_StaleError):
        await evolution._take(ana.scope, plan)
    assert (await ana.status()).events.get("evolution.trialed") is None
    assert (await ana.status()).log_position >= end
    assert (await evolved(memory, ana)).steps


async def test_of_two_runs_at_once_both_end_well_and_only_one_changes_anything(
    memory: AsyncMemory, ana: AsyncUser
) -> None:
    runs = await asyncio.gather(evolved(memory, ana), evolved(memory, ana))
    assert sorted(any(one.accepted for one in run.steps) for run in runs) == [False, True]


async def test_another_process_that_holds_the_lease_keeps_this_one_waiting(memory: AsyncMemory, ana: AsyncUser) -> None:
    other = type(_evolution(memory)._lease)(_evolution(memory)._log.nc, "evolution")
    async with other.held():
        with pytest.raises(Unavailable, match="another process holds the lease"):
            await evolved(memory, ana)
    assert (await evolved(memory, ana)).steps


async def test_a_paused_memory_does_not_evolve_until_it_is_resumed(memory: AsyncMemory, ana: AsyncUser) -> None:
    await memory.operate(r.ConfigureEvolution(user=ana.scope.user, paused=True, reason="audit"))
    with pytest.raises(InvalidInput, match="is paused"):
        await evolved(memory, ana)
    assert (await memory.operate(r.Evolve(user=ana.scope.user))).steps
    resumed = await memory.operate(r.ConfigureEvolution(user=ana.scope.user, paused=False))
    assert not resumed.paused
    assert (await evolved(memory, ana)).steps


async def test_a_policy_is_chosen_per_user_and_must_exist(memory: AsyncMemory, ana: AsyncUser) -> None:
    chosen = await memory.operate(r.ConfigureEvolution(user=ana.scope.user, policy="none"))
    assert (chosen.policy, chosen.paused) == ("none", False)
    assert (await evolved(memory, ana)).steps == ()
    for wrong in (
        r.ConfigureEvolution(user=ana.scope.user, policy="better"),
        r.Evolve(user=ana.scope.user, policy="better"),
        r.ComparePolicies(user=ana.scope.user, policies=("none", "better")),
    ):
        with pytest.raises(InvalidInput, match="unknown policy 'better'"):
            await memory.operate(wrong)


async def test_policies_are_compared_on_a_fork_and_nothing_is_written(memory: AsyncMemory, calm: AsyncUser) -> None:
    before, end = digest(memory, calm), (await calm.status()).log_position
    names = ("none", "default", "random")
    found = {one.policy: one for one in await memory.operate(r.ComparePolicies(user=calm.scope.user, policies=names))}
    assert set(found) == set(names)
    assert found["default"].figures.reading_cost < found["none"].figures.reading_cost
    assert not found["none"].accepted
    assert (digest(memory, calm), (await calm.status()).log_position) == (before, end)


async def test_feedback_of_one_user_moves_nothing_of_another(memory: AsyncMemory, ana: AsyncUser) -> None:
    ben = memory.user(f"{ana.scope.user} ben")
    await memorized(ben)
    before = digest(memory, ben)
    answer = await ana.retrieve("What about the honey?")
    with pytest.raises(NotFound):
        await ben.feedback(answer.retrieval_id, used=[answer.items[0].id])
    with pytest.raises(NotServed):
        await ana.feedback(answer.retrieval_id, used=["somebody-elses-item"])
    await evolved(memory, ana)
    assert digest(memory, ben) == before
    assert (await memory.operate(r.Evolve(user=ben.scope.user))).steps == ()


async def test_contradictory_feedback_counts_for_nothing_and_the_latest_word_counts(memory: AsyncMemory) -> None:
    user = memory.user("contradictory")
    await memorized(user)
    answer = await user.retrieve("What about the honey of the beehive?", exhaustive=True)
    first, second = (hit.id for hit in answer.items[:2])
    await user.feedback(answer.retrieval_id, used=[first], wrong=[first])
    receipt = await user.feedback(answer.retrieval_id, wrong=[second])
    receipt = await user.feedback(answer.retrieval_id, helpful=[second])
    process = process_of(memory)
    await process.projector.wait_for(receipt.position)
    usage = Usage(process.ledger, user.scope.key, receipt.position).items()
    assert (usage[first].used, usage[first].wrong) == (0, 0)
    assert (usage[second].helpful, usage[second].wrong) == (1, 0)


async def test_what_an_agent_quotes_later_counts_half_where_nobody_said_anything(memory: AsyncMemory) -> None:
    user = memory.user("quoting")
    await memorized(user)
    answer = await user.retrieve("What about the honey of the beehive?", exhaustive=True)
    quoted = answer.items[0]
    await user.memorize([{"role": "assistant", "content": quoted.text}])
    await user.settle()
    process = process_of(memory)
    usage = Usage(process.ledger, user.scope.key, process.projector.position)
    assert usage.items()[quoted.id].used == 0.5
    assert usage.categories()


async def test_usage_tells_how_categories_fared_and_which_are_used_together(
    memory: AsyncMemory, ana: AsyncUser
) -> None:
    process = process_of(memory)
    await process.projector.wait_for((await ana.status()).log_position)
    usage = Usage(process.ledger, ana.scope.key, process.projector.position)
    categories = usage.categories()
    assert sum(one.used for one in categories.values()) >= 60
    assert all(one.served for one in categories.values())
    assert all(one.last_used for one in categories.values() if one.used)
    assert usage.judged() == 60
    answer = await ana.retrieve("What about the honey and the violin strings?", exhaustive=True)
    receipt = await ana.feedback(answer.retrieval_id, used=[hit.id for hit in answer.items], missing="the recipe")
    await process.projector.wait_for(receipt.position)
    usage = Usage(process.ledger, ana.scope.key, receipt.position)
    assert usage.missing()[-1].missing == "the recipe"
    assert usage.co_use()


async def test_the_trial_ranks_categories_exactly_as_recall_does(memory: AsyncMemory, ana: AsyncUser) -> None:
    answers = await asked(ana, every=3)
    process = process_of(memory)
    await process.projector.wait_for((await ana.status()).log_position)
    space = space_name(process._embedder.space)
    structure, evidence = await load(process.projection, ana.scope, space, latest=1_000)
    recorded = {one.id: one for one in evidence.retrievals}
    board = Board.of(structure, rerun(evidence))
    ids = list(board.columns)
    for answer in answers:
        number = evidence.retrievals.index(recorded[answer.retrieval_id])
        order = [ids[place] for place in (-board.scores[:, number]).argsort(kind="stable")]
        shown = [hit.id for hit in answer.categories if hit.score > 0]
        assert order[: len(shown)] == shown


async def test_a_memory_evolves_by_itself_after_enough_feedback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSTREAM_EVOLVE_AFTER", "60")
    async with await AsyncMemory.open(tmp_path) as memory:
        user = memory.user("ana")
        await memorized(user)
        await asked(user)

        async def stepped() -> bool:
            return bool(await steps_of(memory, user))

        await until(stepped)
        assert all(one.categories for one in await user.items(limit=500))


async def test_erasing_a_user_takes_the_evolution_with_it(memory: AsyncMemory, ana: AsyncUser) -> None:
    await evolved(memory, ana)
    await memory.operate(o.ForgetUser(user=ana.scope.user))
    history = await memory.operate(r.GetEvolution(user=ana.scope.user))
    assert history.steps == ()


async def test_the_log_holds_a_step_as_one_batch(memory: AsyncMemory, ana: AsyncUser) -> None:
    await evolved(memory, ana)
    events = await ana.events(types=["evolution.trialed", "category.split", "category.summarized"])
    trial = next(one for one in events if one.type == "evolution.trialed" and one.data["accepted"])
    caused = [one for one in events if one.causation == trial.id]
    assert {one.type for one in caused} == {"category.split", "category.summarized"}
    positions = [trial.position, *(one.position for one in caused)]
    assert positions == list(range(trial.position, trial.position + len(positions)))


def _evolution(memory: AsyncMemory) -> Evolution:
    engine = memory._backend
    assert isinstance(engine, Engine)
    assert isinstance(engine._operator, Operations)
    return engine._operator.evolution


async def test_one_wrong_feedback_buries_nothing(memory: AsyncMemory) -> None:
    user = memory.user("misled")
    await memorized(user)

    async def ranks() -> dict[str, int]:
        found = {}
        for topic, things in TOPICS.items():
            answer = await user.retrieve(f"What about the {things[3]} of the {topic}?", exhaustive=True)
            found[topic] = next(hit.rank for hit in answer.items if f"{topic}-3" in hit.sources[0].message_ids)
        return found

    before = await ranks()
    answer = await user.retrieve("What about the tuning of the violin?", exhaustive=True)
    others = [item.text for item in await user.items(limit=200) if "greenhouse" in item.text or "bakery" in item.text]
    given = await user.feedback(
        answer.retrieval_id,
        used=[hit.id for hit in answer.items if "violin-3" not in hit.sources[0].message_ids],
        wrong=[hit.id for hit in answer.items if "violin-3" in hit.sources[0].message_ids],
        missing="\n".join(others),
    )
    assert given.missed
    await user.settle()
    after = await ranks()
    assert all(after[topic] <= before[topic] + 2 for topic in TOPICS), (before, after)

"""The objective: what it costs to read to the evidence of a recorded retrieval."""

import numpy as np
import pytest
from structures import asked, facts_of, scattered, shelf

from memstream.evolution.columns import directory_tokens, file_tokens
from memstream.evolution.objective import Board
from memstream.evolution.rerun import rerun
from memstream.evolution.structure import Shelf, Structure

FACTS = facts_of()
ROWS = list(range(0, len(FACTS), 3))


def test_one_category_for_everything_costs_about_the_whole_memory() -> None:
    giant = Structure.of([shelf("all", list(range(len(FACTS))), FACTS)])
    board = Board.of(giant, rerun(asked(FACTS, ROWS)))
    outside = ~board.readings.first_file
    assert 1.0 <= board.readings.cost[outside].mean() < 1.35
    assert outside.mean() > 0.5


def test_one_category_for_each_statement_costs_about_the_whole_memory() -> None:
    single = Structure.of(
        Shelf(fact.id, fact.line[:40], fact.line, (row,), frozenset()) for row, fact in enumerate(FACTS.rows)
    )
    assert 1.0 < Board.of(single, rerun(asked(FACTS, ROWS))).cost < 1.8
    bare = Structure.of(
        Shelf(fact.id, "", fact.line.removeprefix("- "), (row,), frozenset()) for row, fact in enumerate(FACTS.rows)
    )
    assert Board.of(bare, rerun(asked(FACTS, ROWS))).cost == pytest.approx(1.1, abs=0.15)


def test_a_category_for_each_topic_costs_a_fraction() -> None:
    topics = Structure.of(shelf(f"t{one}", list(range(one * 12, one * 12 + 12)), FACTS) for one in range(8))
    run = rerun(asked(FACTS, ROWS))
    assert Board.of(topics, run).cost < 0.5 * Board.of(scattered(FACTS), run).cost


def test_the_cost_is_the_directory_then_files_and_items_in_ranked_order_until_all_is_reached() -> None:
    near, far = shelf("near", list(range(12)), FACTS), shelf("far", list(range(12, len(FACTS))), FACTS)
    board = Board.of(Structure.of([near, far]), rerun(asked(FACTS, [0])))
    spent = directory_tokens(near) + directory_tokens(far) + file_tokens(near, FACTS)
    assert board.readings.cost[0] == pytest.approx(spent / FACTS.total)
    assert board.readings.first_file[0]


def test_items_are_read_where_the_file_leaves_out_what_was_used() -> None:
    held = list(range(12))
    silent = shelf("near", held, FACTS, quoted=frozenset({5}))
    far = shelf("far", list(range(12, len(FACTS))), FACTS)
    board = Board.of(Structure.of([silent, far]), rerun(asked(FACTS, [0])))
    spent = directory_tokens(silent) + directory_tokens(far) + file_tokens(silent, FACTS) + FACTS.tokens[held].sum()
    assert board.readings.cost[0] == pytest.approx(spent / FACTS.total)
    assert not board.readings.first_file[0]


def test_what_every_category_was_opened_for_before_the_last_one_is_paid_whole() -> None:
    run = rerun(asked(FACTS, [0])).evidence.with_retrievals([asked(FACTS, [0]).retrievals[0]._replace(used=(0, 95))])
    first, rest = shelf("first", list(range(48)), FACTS), shelf("rest", list(range(48, 96)), FACTS)
    board = Board.of(Structure.of([first, rest]), rerun(run))
    whole = directory_tokens(first) + directory_tokens(rest) + file_tokens(first, FACTS) + FACTS.tokens[:48].sum()
    assert board.readings.cost[0] * FACTS.total >= whole
    assert board.readings.last[0] == 2


def test_a_second_home_is_as_good_as_the_first_for_reaching_a_statement() -> None:
    near, far = shelf("near", list(range(12)), FACTS), shelf("far", list(range(12, 96)), FACTS)
    misfiled = Structure.of([shelf("near", list(range(1, 12)), FACTS), shelf("far", [0, *range(12, 96)], FACTS)])
    both = Structure.of([near, shelf("far", [0, *far.items], FACTS)])
    run = rerun(asked(FACTS, [0]))
    assert Board.of(both, run).cost < Board.of(misfiled, run).cost


def test_a_board_that_reuses_columns_says_the_same_as_a_fresh_one() -> None:
    run, before = rerun(asked(FACTS, ROWS)), scattered(FACTS)
    after = before.with_shelves(
        [
            shelf("c0", list(before.shelves["c0"].items)[:5], FACTS),
            shelf("new", list(before.shelves["c0"].items)[5:], FACTS),
        ]
    )
    reused, fresh = Board.of(before, run).with_structure(after), Board.of(after, run)
    np.testing.assert_array_equal(reused.readings.cost, fresh.readings.cost)


def test_nothing_recorded_costs_nothing() -> None:
    board = Board.of(scattered(FACTS), rerun(asked(FACTS, [])))
    assert (board.cost, len(board.readings.cost)) == (0.0, 0)

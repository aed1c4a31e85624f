"""The reference run: openings, definitions and what is marked as fitting."""

import numpy as np
import pytest

from tests.sharing.small_traces import make_trace
from vllm_lab.common.errors import LabError
from vllm_lab.sharing.metrics import REFERENCE_COLUMNS
from vllm_lab.sharing.published import (
    Reference,
    closest_definition,
    conversations_used,
    notes,
    openings,
)
from vllm_lab.traces.workload import StreamTable

SYSTEM = [7, 8, 9]
MARKER = [1, 2]


def user_streams(prefix):
    return [prefix + text for text in ([10, 11, 12, 3, 20], [10, 11, 4, 3, 20], [13, 3, 20])]


def requests(prefix):
    return [(row, len(ids) - 1, 1, float(row)) for row, ids in enumerate(user_streams(prefix))]


def prompts(trace):
    return [trace.prompt(row).tolist() for row in range(len(trace))]


@pytest.mark.parametrize("policy", ["keep", "drop"])
def test_each_opening_is_derived_exactly_whichever_the_streams_have(policy):
    prefix = SYSTEM + MARKER if policy == "keep" else MARKER
    trace = make_trace(user_streams(prefix), requests(prefix))
    variants = dict(openings(trace, {"policy": policy, "token_ids": SYSTEM}))
    bare = [ids[:-1] for ids in user_streams([])]
    assert prompts(variants["default_system_prompt"]) == [SYSTEM + MARKER + ids for ids in bare]
    assert prompts(variants["role_marker"]) == [MARKER + ids for ids in bare]
    assert prompts(variants["bare"]) == bare


def test_a_template_without_a_default_system_prompt_has_two_openings():
    trace = make_trace(user_streams(MARKER), requests(MARKER))
    assert [name for name, _ in openings(trace, {"policy": "keep", "token_ids": []})] == [
        "role_marker",
        "bare",
    ]


def test_streams_that_lack_the_named_system_prompt_are_refused():
    trace = make_trace(user_streams(MARKER), requests(MARKER))
    with pytest.raises(LabError, match="does not begin with the default system prompt"):
        dict(openings(trace, {"policy": "keep", "token_ids": SYSTEM}))


def test_identical_prompts_keep_a_token_each_when_their_opening_is_cut():
    trace = make_trace([[1, 2, 3, 4]], [(0, 3, 1, 0.0), (0, 3, 1, 1.0)])
    assert prompts(dict(openings(trace, {"policy": "keep", "token_ids": []}))["bare"]) == [[3], [3]]


def stream_table(count):
    """`count` conversations of two turns each, the first half of them about the same."""
    ids = [
        [1, 2] + [5 if row < count // 2 else row + 10] * 4 + [3, 4, row + 100, 6, 3, 7]
        for row in range(count)
    ]
    return StreamTable(
        conversation_id=[f"c{row}" for row in range(count)],
        first_role=np.array(["user"] * count),
        turn_offsets=np.arange(count + 1) * 2,
        prompt_tokens=np.tile([7, 11], count),
        output_tokens=np.tile([1, 1], count),
        answered=np.ones(2 * count, bool),
        stream=np.repeat(np.arange(count), 2),
        token_ids=np.concatenate(ids).astype(np.int32),
        token_offsets=np.concatenate([[0], np.cumsum([len(row) for row in ids])]),
    )


def test_one_definition_of_each_metric_fits_and_it_is_the_nearest():
    reference = Reference(stream_table(12), {"policy": "drop", "token_ids": SYSTEM}, 8, 2.0, 4)
    rows = reference.compare(samples=3, seed=0)
    assert all(list(row) == list(REFERENCE_COLUMNS) for row in rows)
    groups = {(row["mode"], row["metric"]) for row in rows}
    assert len(groups) == 12
    for group in groups:
        members = [row for row in rows if (row["mode"], row["metric"]) == group]
        (fitting,) = [row for row in members if row["fits"]]
        assert abs(fitting["difference"]) == min(abs(row["difference"]) for row in members)
    for row in rows:
        assert row["band_min"] <= row["band_p10"] <= row["band_median"] <= row["band_p90"] <= row["band_max"]
        assert row["within_band"] == (row["band_min"] <= row["published"] <= row["band_max"])
        assert row["difference"] == row["ours"] - row["published"]
    closest = closest_definition(rows, 4)
    assert closest["opening"] in ("default_system_prompt", "role_marker", "bare")


def test_too_few_conversations_are_said_to_be_too_few():
    used = conversations_used(Reference(stream_table(6), {"policy": "drop", "token_ids": []}, 1000, 2.0, 16))
    assert (used["asked"], used["used"]) == (1000, 6)
    assert "the published run had 1000" in used["statement"]


def test_the_definition_nearest_to_all_published_figures_is_the_closest():
    def row(level, metric, difference, short=""):
        given = {"mode": "m", "level": level, "opening": "bare", "short_prompts": short}
        return given | {"metric": metric, "difference": difference, "published": 0.5}

    rows = [
        row("block", "sharing_mean", 0.1, "included"),
        row("block", "block_reuse_rate", 0.1),
        row("token", "sharing_mean", -0.2, "included"),
        row("token", "block_reuse_rate", 0.05),
        row("token", "block_hits_max", 0.0),
    ]
    assert closest_definition(rows, 16)["level"] == "block"
    assert closest_definition(rows, 16)["mean_relative_difference"] == pytest.approx(0.2)


def test_the_note_on_reuse_gaps_names_the_gaps_that_were_found():
    def gap(ours):
        return {"mode": "single_turn", "metric": "reuse_gap_mean_s", "ours": ours, "published": 0.01}

    note = notes([gap(31.26), gap(0.0), gap(87.0)], 2.0)[-1]
    assert "2 arrivals/s" in note and "at least 31.3 s" in note and "0.01 s" in note
    assert len(notes([gap(0.005)], 2.0)) == len(notes([], 2.0)) == 2

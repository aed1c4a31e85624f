"""Joining the parts of a conversation."""

from hypothesis import given
from hypothesis import strategies as st

from vllm_lab.data.conversation import Conversation, Ledger, Message
from vllm_lab.data.conversations import merge_parts, part_of


def part(id: str, record: int, texts: str, dropped: tuple[int, ...] = ()) -> Conversation:
    """A part whose messages are the letters of `texts`, those at the places `dropped` missing."""
    messages = [Message("user", text, place) for place, text in enumerate(texts) if place not in dropped]
    return Conversation(id, record, messages, len(texts))


def merge(*parts: Conversation) -> tuple[list[tuple[str, int, str]], dict[str, int]]:
    ledger = Ledger(merge_parts=True)
    merged = merge_parts(parts, ledger)
    return [(c.id, c.record, "".join(m.text for m in c.messages)) for c in merged], dict(ledger.counts)


def test_an_id_says_which_conversation_and_where_the_part_begins():
    assert part_of("QWJhYvA_12") == ("QWJhYvA", 12)
    assert part_of("a_b_0") == ("a_b", 0)
    assert part_of("a_0#2") is part_of("record-7") is part_of("_") is part_of("a_x") is part_of("a_٣") is None


def test_parts_that_repeat_the_last_message_are_joined_without_it():
    merged, counts = merge(part("c_0", 4, "abc"), part("c_2", 5, "cde"), part("c_4", 6, "ef"))
    assert merged == [("c", 4, "abcdef")]
    assert counts == {"part_of_conversation": 2, "part_overlap": 2}


def test_parts_that_follow_one_another_are_joined_whole():
    assert merge(part("c_0", 0, "ab"), part("c_2", 1, "cd")) == (
        [("c", 0, "abcd")],
        {"part_of_conversation": 1},
    )


def test_a_part_after_a_gap_stands_alone_and_is_counted():
    merged, counts = merge(part("c_0", 0, "ab"), part("c_5", 1, "xy"), part("c_7", 2, "z"))
    assert merged == [("c", 0, "ab"), ("c_5", 1, "xyz")]
    assert counts == {"part_gap": 1, "part_of_conversation": 1}


def test_a_part_that_contradicts_the_one_before_stands_alone_and_is_counted():
    merged, counts = merge(part("c_0", 0, "abc"), part("c_2", 1, "Xde"))
    assert merged == [("c", 0, "abc"), ("c_2", 1, "Xde")]
    assert counts == {"part_conflict": 1}


def test_numbered_conversations_that_are_no_parts_are_not_mixed():
    merged, _ = merge(part("identity_0", 0, "ab"), part("identity_1", 1, "cd"), part("identity_2", 2, "ef"))
    assert sorted(text for _, _, text in merged) == ["ab", "cd", "ef"]


def test_parts_out_of_order_in_the_file_are_joined_in_order():
    merged, _ = merge(part("c_2", 0, "cd"), part("other", 1, "x"), part("c_0", 2, "abc"))
    assert merged == [("c", 0, "abcd"), ("other", 1, "x")]


def test_a_message_dropped_from_both_parts_does_not_shift_the_joint():
    merged, counts = merge(part("c_0", 0, "abc", dropped=(1,)), part("c_2", 1, "cd"))
    assert merged == [("c", 0, "acd")]
    assert counts == {"part_of_conversation": 1, "part_overlap": 1}


def test_a_conversation_whose_beginning_is_missing_keeps_the_id_of_its_first_part():
    assert merge(part("c_3", 0, "de"), part("c_5", 1, "f"))[0] == [("c_3", 0, "def")]


def test_ids_of_another_form_pass_unchanged():
    given_parts = [part("free form", 0, "ab"), part("a_0#2", 1, "cd")]
    assert merge_parts(given_parts, Ledger()) == given_parts


@given(texts=st.text("abc", min_size=1, max_size=12), data=st.data())
def test_any_way_of_cutting_a_conversation_is_undone(texts, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(texts) - 1), max_size=4)) if len(texts) > 1 else [])
    starts, ends = [0, *cuts], [*cuts, len(texts)]
    overlaps = [0] + [data.draw(st.integers(0, 1)) for _ in cuts]
    parts = [
        part(f"c_{start - overlap}", record, texts[start - overlap : end])
        for record, (start, end, overlap) in enumerate(zip(starts, ends, overlaps, strict=True))
    ]
    parts = list({p.id: p for p in reversed(parts)}.values())[::-1]  # overlaps can make two begin alike
    if len(parts) < len(starts):
        return
    merged, counts = merge(*parts)
    assert merged == [("c", 0, texts)]
    assert counts.get("part_of_conversation", 0) == len(cuts)
    assert counts.get("part_overlap", 0) == sum(overlaps)

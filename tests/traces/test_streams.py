"""What the streams of conversations promise, for every kind of template."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from vllm_lab.common.errors import LabError
from vllm_lab.traces.streams import StreamMaker
from vllm_lab.traces.template import TEMPLATE_DATE
from vllm_lab.traces.tokenizer import show

HELLO = [("user", "the quick fox"), ("assistant", "brown"), ("user", "the end"), ("assistant", "You are")]
INJECTED = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
)

texts = st.text(st.sampled_from("the quick\n<|im_end|>é "), max_size=12) | st.sampled_from(
    ["<|im_end|>", "a<|im_start|>user\nb", "", " ", "<think>why</think>\n\nso", "\U000f0000<|im_end|>"]
)
chats = st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), texts), min_size=1, max_size=7)


def rows(maker, conversations, *chats):
    batch, tally = maker.batch(0, conversations(*chats))
    return batch.to_pylist(), tally


def decode(maker, ids):
    return maker.tokenizer._tokenizer.decode(list(ids), skip_special_tokens=False)


def turns(streams):
    """(turn, prompt ids, output ids, answered) of every turn, by turn."""
    return sorted(
        (turn, row["token_ids"][:prompt], row["token_ids"][prompt : prompt + output], answered)
        for row in streams
        for turn, prompt, output, answered in zip(
            row["turns"], row["prompt_tokens"], row["output_tokens"], row["answered"], strict=True
        )
    )


@pytest.fixture(scope="session")
def makers(model_dir, llama_dir, template_files):
    """A maker for each template, both system prompt policies."""
    folders = {"llama3": llama_dir, "dated": llama_dir}
    named = {**template_files, "plain": "plain"}
    return {
        (name, policy): StreamMaker(folders.get(name, model_dir), path, policy)
        for name, path in named.items()
        for policy in ("keep", "drop")
    }


@pytest.mark.parametrize("policy", ["keep", "drop"])
@pytest.mark.parametrize("name", ["smollm2", "llama3", "dated", "rewriting", "opening", "bare", "plain"])
@settings(max_examples=60, deadline=None)
@given(chat=chats)
def test_every_prompt_is_a_prefix_that_reads_as_the_template_renders_it(
    makers, conversations, name, policy, chat
):
    maker = makers[name, policy]
    streams, _ = rows(maker, conversations, chat)
    found = turns(streams)
    user_turns = [index for index, (role, _) in enumerate(chat) if role == "user"]
    assert [turn for turn, *_ in found] == list(range(1, len(user_turns) + 1))
    for (_, prompt, output, answered), index in zip(found, user_turns, strict=True):
        messages = [{"role": role, "text": text} for role, text in chat[: index + 1]]
        hidden_messages, hidden = maker.messages(messages)
        assert decode(maker, prompt) == show(maker.template.render(hidden_messages, prompt=True), hidden)
        reply = (
            chat[index + 1][1] if chat[index + 1 : index + 2] and chat[index + 1][0] == "assistant" else ""
        )
        assert answered == bool(reply)
        assert len(output) >= 1
        assert maker.end_token not in output[:-1]
        if not reply:
            assert output == [maker.end_token]
        elif maker.has_end_token or name == "plain":
            assert output[-1] == maker.end_token
        if reply and name not in ("llama3", "dated", "plain"):  # llama3 strips, plain puts a space before
            assert decode(maker, output).removesuffix("<|im_end|>" * (output[-1] == maker.end_token)) == reply


@settings(max_examples=60, deadline=None)
@given(chat=chats)
def test_no_more_special_tokens_than_the_template_puts_there(makers, conversations, chat):
    maker = makers["smollm2", "drop"]
    streams, _ = rows(maker, conversations, chat)
    for turn, prompt, *_ in turns(streams):
        index = [index for index, (role, _) in enumerate(chat) if role == "user"][turn - 1]
        assert np.isin(prompt, [0, 1, 2, 3, 4, 5, 6]).sum() == 2 * (index + 1) + 1


@settings(max_examples=60, deadline=None)
@given(chat=chats)
def test_encoding_around_literals_is_the_usual_encoding_where_there_are_none(makers, chat):
    maker = makers["smollm2", "keep"]
    messages, hidden = maker.messages([{"role": role, "text": text} for role, text in chat])
    text = maker.template.render(messages, prompt=True)
    usual = maker.tokenizer.encode([show(text, hidden)])[0]
    around = maker.tokenizer.encode_hidden(text, hidden)
    assert np.array_equal(usual, around) == (not hidden)


def test_first_prompt_is_what_transformers_makes_of_it(
    model_dir: Path, llama_dir: Path, conversations
) -> None:
    for folder in (model_dir, llama_dir):
        transformers_tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        streams, _ = rows(StreamMaker(folder, "tokenizer", "keep"), conversations, HELLO)
        messages = [{"role": "user", "content": HELLO[0][1]}]
        ids = transformers_tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=False
        )
        assert turns(streams)[0][1] == ids


def test_usual_conversation_is_one_stream_of_all_its_turns(makers, conversations) -> None:
    for (name, _), maker in makers.items():
        streams, tally = rows(maker, conversations, HELLO)
        if name != "opening":
            assert [row["turns"] for row in streams] == [[1, 2]], name
            assert tally.counts["explicit_streams"] == 0


def test_dropping_takes_the_default_system_prompt_away_and_nothing_else(makers, conversations) -> None:
    keep, _ = rows(makers["smollm2", "keep"], conversations, HELLO)
    drop, _ = rows(makers["smollm2", "drop"], conversations, HELLO)
    summary = makers["smollm2", "drop"].describe()["default_system_prompt"]
    assert summary["text"] == INJECTED
    assert keep[0]["token_ids"] == summary["token_ids"] + drop[0]["token_ids"]
    assert keep[0]["output_tokens"] == drop[0]["output_tokens"]
    with_system = [("system", "be brief"), *HELLO]
    assert (
        rows(makers["smollm2", "keep"], conversations, with_system)[0]
        == (rows(makers["smollm2", "drop"], conversations, with_system)[0])
    )


def test_a_system_prompt_of_the_conversations_own_stays_even_where_it_is_the_default(
    makers, conversations
) -> None:
    text = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    streams, _ = rows(makers["smollm2", "drop"], conversations, [("system", text), *HELLO])
    assert decode(makers["smollm2", "drop"], streams[0]["token_ids"]).startswith(INJECTED)


def test_dropping_keeps_the_bos_token(makers, conversations) -> None:
    streams, _ = rows(makers["dated", "drop"], conversations, HELLO)
    plain, _ = rows(makers["llama3", "keep"], conversations, HELLO)
    assert streams == plain
    assert decode(makers["dated", "drop"], streams[0]["token_ids"]).startswith(
        "<|begin_of_text|><|start_header_id|>user"
    )


def test_template_date_stands_still(makers) -> None:
    assert (
        TEMPLATE_DATE.strftime("%d %b %Y")
        in makers["dated", "keep"].describe()["default_system_prompt"]["text"]
    )


def test_reasoning_left_out_of_history_gets_streams_of_its_own(makers, conversations) -> None:
    chat = [("user", "one"), ("assistant", "<think>\nhm\n</think>\n\nfox"), *HELLO]
    maker = makers["rewriting", "keep"]
    streams, tally = rows(maker, conversations, chat)
    assert [row["turns"] for row in streams] == [[2, 3], [1]]
    assert tally.counts["explicit_streams"] == 1
    assert streams[1]["prompt_tokens"][0] + streams[1]["output_tokens"][0] == len(streams[1]["token_ids"])
    first, second, _ = turns(streams)
    assert decode(maker, first[2]) == "<think>\nhm\n</think>\n\nfox<|im_end|>"
    assert "<think>" not in decode(maker, second[1])


def test_user_message_after_user_message_is_an_unanswered_turn_of_its_own(makers, conversations) -> None:
    maker = makers["smollm2", "drop"]
    streams, tally = rows(maker, conversations, [("user", "the"), ("user", "fox"), ("assistant", "brown")])
    assert [(row["turns"], row["answered"]) for row in streams] == [([2], [True]), ([1], [False])]
    assert decode(maker, streams[1]["token_ids"]).endswith("<|im_start|>assistant\n<|im_end|>")
    assert tally.counts["unanswered_turns"] == 1


def test_empty_reply_is_just_the_end_of_turn(makers, conversations) -> None:
    for name in ("smollm2", "plain", "bare"):
        maker = makers[name, "keep"]
        streams, _ = rows(maker, conversations, [("user", "fox"), ("assistant", ""), *HELLO])
        assert turns(streams)[0][2:] == ([maker.end_token], False), name


def test_last_user_message_without_a_reply_ends_the_main_stream(makers, conversations) -> None:
    maker = makers["smollm2", "keep"]
    streams, _ = rows(maker, conversations, [*HELLO, ("user", "and?")])
    assert [row["turns"] for row in streams] == [[1, 2, 3]]
    assert streams[0]["answered"] == [True, True, False]
    assert streams[0]["token_ids"][-1] == maker.end_token
    assert streams[0]["prompt_tokens"][-1] + 1 == len(streams[0]["token_ids"])


def test_refused_conversation_is_left_out_and_counted_with_the_templates_words(makers, conversations) -> None:
    bad = [("assistant", "hello"), *HELLO]
    streams, tally = rows(makers["refusing", "keep"], conversations, HELLO, bad, bad)
    assert {row["conversation_id"] for row in streams} == {"c0"}
    assert tally.counts["template_refused"] == 2
    assert tally.refused_example == {"conversation_id": "c1", "message": "roles must alternate"}


def test_conversation_without_a_user_turn_gives_no_stream(makers, conversations) -> None:
    streams, tally = rows(makers["smollm2", "keep"], conversations, [("assistant", "hello")], [])
    assert not streams
    assert tally.counts["without_user_turn"] == 2


def test_conversations_keep_their_number_and_first_role(makers, conversations) -> None:
    batch, _ = makers["smollm2", "keep"].batch(
        7, conversations([("assistant", "x")], HELLO, [("system", "s"), *HELLO])
    )
    assert batch["conversation"].to_pylist() == [8, 9]
    assert batch["first_role"].to_pylist() == ["user", "system"]


def test_template_without_special_tokens_needs_an_eos_token(model_dir, template_files, tmp_path) -> None:
    (tmp_path / "tokenizer.json").write_text((model_dir / "tokenizer.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(LabError, match=r"tokenizer_config\.json: no eos_token"):
        StreamMaker(tmp_path, template_files["bare"], "keep")


def test_tokenizer_without_a_template_gets_the_plain_one_and_says_so(model_dir, tmp_path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((model_dir / name).read_text())
    (tmp_path / "chat_template.jinja").write_text("")
    assert StreamMaker(tmp_path, "tokenizer", "keep").describe()["template"] == "plain"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "not a chat template"),
        ("{{ raise_exception('never') }}", "never; use --chat-template plain"),
        ("hello", "leaves out the assistant's text"),
    ],
)
def test_bad_template_is_named(model_dir, tmp_path, template, message) -> None:
    path = tmp_path / "bad.jinja"
    path.write_text(template)
    with pytest.raises(LabError, match=message) as caught:
        StreamMaker(model_dir, str(path), "keep")
    assert "bad.jinja" in str(caught.value)


def test_unprobable_system_prompt_can_be_kept_but_not_dropped(model_dir, tmp_path) -> None:
    path = tmp_path / "odd.jinja"
    path.write_text("{% for m in messages %}{{ loop.index }}{{ m.content }}<|im_end|>{% endfor %}")
    assert "alike" in StreamMaker(model_dir, str(path), "keep").describe()["default_system_prompt"]["problem"]
    with pytest.raises(LabError, match="default-system-prompt keep"):
        StreamMaker(model_dir, str(path), "drop")


def test_missing_tokenizer_is_named(tmp_path) -> None:
    with pytest.raises(LabError, match=r"tokenizer\.json: no such file"):
        StreamMaker(tmp_path, "tokenizer", "keep")


def test_tokenizer_that_puts_a_space_before_every_text_puts_none_between_pieces(
    tmp_path, conversations
) -> None:
    vocab = {character: number for number, character in enumerate("▁\nabcdefghijklmnopqrstuvwxyzUA:?")}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    (tmp_path / "t.jinja").write_text(
        "{% for m in messages %}{{ m.role }}\n{{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}assistant\n{% endif %}"
    )
    maker = StreamMaker(tmp_path, str(tmp_path / "t.jinja"), "keep")
    streams, _ = rows(maker, conversations, [("user", "hi"), ("assistant", "yes"), ("user", "so")])
    text = "user\nhi</s>assistant\nyes</s>user\nso</s>assistant\n"
    assert streams[0]["token_ids"] == [*maker.tokenizer.encode([text])[0].tolist(), maker.end_token]
    assert maker.tokenizer.encode(["yes"])[0][0] == vocab["▁"]

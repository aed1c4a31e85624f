"""Texts and outputs, with a tokenizer and without."""

from tests.traces.conftest import model_dir
from vllm_lab.server.protocol import ByteTexts, Outputs, TokenizerTexts
from vllm_lab.traces.trace import Trace

__all__ = ["model_dir"]  # the fixture
TEXT = "Grüße, 世界! <|im_end|>"
CHAT = [{"role": "user", "content": TEXT}]


def decoded(texts, tokens) -> str:
    return "".join(map(texts.decoder(), tokens))


def test_tokens_become_text_one_by_one(model_dir):
    for texts in (TokenizerTexts(model_dir), ByteTexts()):
        assert decoded(texts, texts.encode("Grüße, 世界!")) == "Grüße, 世界!"


def test_a_special_tokens_text_in_a_message_stays_text(model_dir):
    texts = TokenizerTexts(model_dir)
    assert TEXT in decoded(texts, texts.encode_chat(CHAT))


def test_without_a_tokenizer_a_traces_ids_are_shown_as_numbers():
    assert decoded(ByteTexts(), [72, 105, 50000]) == "Hi<50000>"


def test_a_traces_prompt_gets_its_output_cut_or_filled_up_and_any_other_prompt_gets_filler():
    texts = ByteTexts()
    outputs = Outputs(texts, Trace.from_requests([[1, 2], [3]], [[7, 8, 9], [5]], [0.0, 1.0]))
    assert outputs.tokens([1, 2], None, False) == [7, 8, 9]
    assert outputs.tokens([1, 2], 2, False) == [7, 8]
    assert outputs.tokens([3], 4, False) == [5]
    filled = outputs.tokens([3], 4, True)
    assert (filled[0], len(filled)) == (5, 4)
    filler = outputs.tokens([4], 300, False)
    assert len(filler) == 300
    assert filler == outputs.tokens([4], 300, False) != outputs.tokens([6], 300, False)

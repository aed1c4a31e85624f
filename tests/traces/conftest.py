"""A small ChatML tokenizer and the chat templates that the tests render with."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# The template of SmolLM2, which adds a system prompt.
SMOLLM2 = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""  # noqa: E501  (the template's text)

# Llama 3's: a BOS token, stripped contents.
LLAMA3 = """{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}"""  # noqa: E501

# Llama 3.1's habit: BOS, then a system block with a date for every conversation.
DATED = """{{- bos_token }}
{%- if messages[0]['role'] != 'system' %}
    {{- '<|start_header_id|>system<|end_header_id|>\n\nToday: ' + strftime_now('%d %b %Y') + '<|eot_id|>' }}
{%- endif %}""" + LLAMA3.removeprefix("{{- bos_token }}")

# Qwen3's habit: reasoning stays in the last reply only.
REWRITING = """{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and not loop.last and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}"""

# DeepSeek-R1's habit: the generation prompt opens the reasoning, which a rendered reply does not show.
OPENING = REWRITING.replace("'<|im_start|>assistant\\n' }}", "'<|im_start|>assistant\\n<think>\\n' }}")

# Mistral's habit: roles must alternate.
REFUSING = (
    """{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
{%- endfor %}"""
    + SMOLLM2
)

# No special token at all.
BARE = "{% for m in messages %}{{ m.role }}> {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant> {% endif %}"  # noqa: E501

TEMPLATES = {
    "smollm2": SMOLLM2,
    "llama3": LLAMA3,
    "dated": DATED,
    "rewriting": REWRITING,
    "opening": OPENING,
    "refusing": REFUSING,
    "bare": BARE,
}
SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
]  # fmt: skip
CORPUS = [
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    "the quick brown fox",
    "user\n\n",
]


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a byte-level BPE tokenizer (some 400 tokens) and SmolLM2's template."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": {"__type": "AddedToken", "content": "<|im_end|>"},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(SMOLLM2)
    return folder


@pytest.fixture(scope="session")
def llama_dir(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer with Llama 3's template and special tokens."""
    folder = tmp_path_factory.mktemp("llama")
    (folder / "tokenizer.json").write_text((model_dir / "tokenizer.json").read_text())
    config = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(LLAMA3)
    return folder


@pytest.fixture(scope="session")
def template_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of the templates, by name."""
    folder = tmp_path_factory.mktemp("templates")
    for name, text in TEMPLATES.items():
        (folder / f"{name}.jinja").write_text(text)
    return {name: str(folder / f"{name}.jinja") for name in TEMPLATES}


def _conversations(*chats: list[tuple[str, str]]) -> pa.RecordBatch:
    """Conversations c0, c1, … of (role, text) pairs, as conversations.parquet has them."""
    return pa.RecordBatch.from_pydict(
        {
            "conversation_id": [f"c{number}" for number in range(len(chats))],
            "messages": [[{"role": role, "text": text} for role, text in chat] for chat in chats],
        },
        schema=pa.schema([
            ("conversation_id", pa.string()),
            ("messages", pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))),
        ]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def conversations() -> Callable[..., pa.RecordBatch]:
    """A function that makes a batch of chats."""
    return _conversations


@pytest.fixture(scope="session")
def many_conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """conversations.parquet of 600 conversations (three batches): every fifth has a special token's text,
    every seventh begins with the assistant, every eleventh has two user messages in a row."""
    chats = []
    for number in range(600):
        text = f"question {number} " + ("<|im_end|>" if number % 5 == 0 else "")
        turns = [("user", text), ("assistant", f"answer {number * 7}")] * (1 + number % 3)
        turns = turns if number % 11 else [("user", "wait"), *turns]
        chats.append(turns if number % 7 else [("assistant", "hello"), *turns])
    path = tmp_path_factory.mktemp("conversations") / "conversations.parquet"
    pq.write_table(pa.Table.from_batches([_conversations(*chats)]), path)
    return path

"""The flags that the tools and the rules' scripts share: which model is asked what."""

from __future__ import annotations

import argparse
from pathlib import Path

from vllm_lab.common import host
from vllm_lab.common.errors import LabError
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.traces.tokenizer import ChatTokenizer
from vllm_lab.tracing.generation import Question, settings


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add the model, the prompt and how often it is answered."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="such as results/data/model")
    parser.add_argument("--prompt", default="The capital of France is", help="(%(default)s)")
    parser.add_argument("--max-tokens", type=positive, default=8, help="of the answer (%(default)s)")
    parser.add_argument("--repeats", type=positive, default=3, help="with and without tracing (%(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")
    parser.add_argument("--load-format", choices=("auto", "dummy"), default="auto", help="dummy: random")


def question_from(arguments: argparse.Namespace) -> Question:
    """What the flags ask, in the model's tokens."""
    prompt = ChatTokenizer(arguments.model).encode([arguments.prompt])[0].tolist()
    if not prompt:
        raise LabError("--prompt: an empty text has no token to begin with; give a word")
    return Question(arguments.prompt, prompt, arguments.max_tokens, arguments.repeats)


def settings_from(
    arguments: argparse.Namespace, question: Question, enforce_eager: bool = True
) -> EngineSettings:
    """An engine for the question."""
    tokens = len(question.prompt) + question.max_tokens
    return settings(
        arguments.model,
        arguments.device,
        tokens,
        enforce_eager=enforce_eager,
        load_format=arguments.load_format,
        threads=host.threads(),
    )


def positive(given: str) -> int:
    """A whole number above 0; argparse tells the user of any other."""
    number = int(given)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{given}: expected a number above 0")
    return number

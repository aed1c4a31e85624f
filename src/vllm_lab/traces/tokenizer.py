"""The tokenizer: from text to token ids, with special tokens only where the chat template put them."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vllm_lab.common.errors import LabError
from vllm_lab.common.files import read_json

PRIVATE_USE = range(0xF0000, 0xFFFFE)  # Unicode's supplementary private use area A: 65,534 characters
LINE_BREAK = "\n"


class ChatTokenizer:
    """tokenizer.json of a checkpoint, read by the `tokenizers` library.

    Hugging Face tokenizers turn the literal text of a special token into that token, also in the message of a
    user. Here such text stays text. `hide` replaces the literals in a message by private-use characters
    before the template is rendered. `encode_hidden` splits the rendering at the special tokens that remain,
    which are those of the template, puts the literals back and encodes them as ordinary text.
    """

    def __init__(self, model_dir: str | os.PathLike) -> None:
        from tokenizers import Tokenizer  # here: a process that only distributes work does not load it

        self.model_dir = Path(model_dir)
        path = self.model_dir / "tokenizer.json"
        try:
            source = path.read_text(encoding="utf-8")
            self._tokenizer, self._literal = Tokenizer.from_str(source), Tokenizer.from_str(source)
        except FileNotFoundError as error:
            raise LabError(f"{path}: no such file; run the rule data_model, or give its folder") from error
        except Exception as error:  # the library raises nothing narrower
            raise LabError(f"{path}: not a tokenizer ({error})") from error
        for tokenizer in (self._tokenizer, self._literal):
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self._literal.encode_special_tokens = True
        added = self._tokenizer.get_added_tokens_decoder().items()
        specials = [(token, number) for number, token in added if token.special]
        specials.sort(key=lambda special: len(special[0].content), reverse=True)  # the longest match wins
        self._ids = {token.content: number for token, number in specials}
        self._pattern = re.compile("|".join(map(re.escape, self._ids)) or r"(?!)")
        self._split = re.compile("|".join(_stripping(token) for token, _ in specials) or r"(?!)")
        alone, after = self._encode(["a", LINE_BREAK + "a"])
        self._prepends = len(alone) > 0 and not np.array_equal(alone, after[-len(alone) :])
        self.special_tokens = _named_special_tokens(self.model_dir / "tokenizer_config.json")

    def special_id(self, text: str) -> int | None:
        """The id of the special token written `text`, or None if there is none."""
        return self._ids.get(text)

    def find_special(self, text: str) -> str | None:
        """The first special token's text in `text`, or None."""
        match = self._pattern.search(text)
        return match.group() if match else None

    def encode(self, texts: Sequence[str], continues: Sequence[bool] = ()) -> list[np.ndarray]:
        """Token ids, int32 [tokens], of each text; literals of special tokens become special tokens.

        `continues` has a value for each text, or is empty: whether the text continues another one.
        SentencePiece tokenizers put a space before every text that they encode. A text that continues another
        must not get one, so it is encoded after a line break, and the tokens of the line break are removed.
        """
        if not (self._prepends and any(continues)):
            return self._encode(texts)
        lead = self._encode([LINE_BREAK])[0]
        after = self._encode([LINE_BREAK + text for text in texts])
        return [
            led[len(lead) :] if goes_on and np.array_equal(led[: len(lead)], lead) else alone
            for alone, led, goes_on in zip(self._encode(texts), after, continues, strict=True)
        ]

    def _encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        return _ids(self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False))

    def hide(self, texts: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The texts with the literals of special tokens replaced by private-use characters that do not occur
        in them, and the literal of each such character; an empty dict where there was nothing to hide."""
        literals = sorted({match for text in texts for match in self._pattern.findall(text)})
        if not literals:
            return list(texts), {}
        used = set().union(*texts)
        free = (chr(code) for code in PRIVATE_USE if chr(code) not in used)
        stand_in = dict(zip(literals, free, strict=False))
        hidden = [self._pattern.sub(lambda match: stand_in[match.group()], text) for text in texts]
        return hidden, {character: literal for literal, character in stand_in.items()}

    def encode_hidden(self, text: str, hidden: dict[str, str]) -> np.ndarray:
        """Token ids, int32 [tokens], of a rendering of hidden texts: special tokens as such, and the literals
        of `hidden` as ordinary text."""
        parts: list[np.ndarray] = []
        position = 0
        for match in self._split.finditer(text):
            parts.append(self._encode_literal(text[position : match.start()], hidden))
            parts.append(np.array([self._ids[match.group().strip()]], dtype=np.int32))
            position = match.end()
        parts.append(self._encode_literal(text[position:], hidden))
        return np.concatenate(parts)

    def decoder(self) -> Callable[[int], str]:
        """A function that decodes a stream token by token; it returns "" while a character is incomplete, and
        for special tokens."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)
        return lambda token: stream.step(self._tokenizer, token) or ""

    def _encode_literal(self, text: str, hidden: dict[str, str]) -> np.ndarray:
        return _ids(self._literal.encode_batch_fast([show(text, hidden)], add_special_tokens=False))[0]


def show(text: str, hidden: dict[str, str]) -> str:
    """`text` with the literals that `ChatTokenizer.hide` replaced."""
    return text.translate({ord(character): literal for character, literal in hidden.items()})


def _ids(encodings: Sequence[Any]) -> list[np.ndarray]:
    return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]


def _stripping(token: Any) -> str:
    """The pattern of one special token with the white space that it absorbs."""
    left, right = (r"\s*" if token.lstrip else ""), (r"\s*" if token.rstrip else "")
    return f"{left}{re.escape(token.content)}{right}"


def _named_special_tokens(path: Path) -> dict[str, str]:
    """bos_token, eos_token, … by name, as templates see them (transformers' special_tokens_map)."""
    config = read_json(path)
    named = {name: value for name, value in config.items() if name.endswith("_token") and value}
    texts = {name: value["content"] if isinstance(value, dict) else value for name, value in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}

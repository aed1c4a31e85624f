"""Documents of the data: conversations, model, tokens, traces, exports."""

from typing import Any

from tests.report.documents.words import HOSTILE


def rejects() -> dict[str, Any]:
    rule = {"action": "kept", "statement": "A message follows another one of the same role."}
    return {
        "input_bytes": 125509632,
        "records_read": 12,
        "records_dropped": 1,
        "conversations_kept": 11,
        "messages_kept": 40,
        "roles": {"human": 21, "gpt": 18, HOSTILE: 1},
        "first_roles": {"user": 10, "assistant": 1},
        "stopped_after_max_records": False,
        "rules": {
            "consecutive_same_role": {
                **rule,
                "count": 2,
                "example": {"id": HOSTILE, "record": 3, "detail": HOSTILE},
            },
            "id_missing": {**rule, "count": 0, "example": None},
        },
    }


def model_summary() -> dict[str, Any]:
    return {
        "source": "package",
        "name": "Tiny",
        "revision_or_version": "0.1.2",
        "sha256": "b" * 64,
        "weights": "real",
        "dtype": "bfloat16",
        "parameters": 134515008,
        "layers": 30,
        "kv_heads": 3,
        "head_dim": 64,
        "context_length": 8192,
        "vocab_size": 49152,
        "kv_bytes_per_token": 23040,
        "licence": "Apache-2.0",
    }


def tokens_summary() -> dict[str, Any]:
    return {
        "conversations": 11,
        "streams": 12,
        "explicit_streams": 1,
        "tokens": 30000,
        "template": "tokenizer",
        "special_text_conversations": 0,
        "template_refused": {"count": 0, "example": None},
        "unanswered_turns": 1,
        "default_system_prompt": {
            "policy": "drop",
            "text": "<|im_start|>system\n<|im_end|>",
            "token_ids": [1],
        },
        "end_of_turn_token_id": 2,
    }


def traces_summary() -> dict[str, Any]:
    points = {"mean": 767.4, "p50": 614.0, "p90": 1739.0, "p95": 1931.8, "p99": 2231.3, "max": 5925}
    trace = {
        "requests": 30,
        "conversations": 11,
        "prompt_tokens": 20000,
        "output_tokens": 9000,
        "lengths": {"prompt_tokens": points, "output_tokens": points},
        "duration_s": 495.7,
        "measured_rate": 2.017,
        "over_context": {"limit": 8192, "policy": "drop", "requests": 3, "outputs": 0, "example": None},
        "selection": {"chosen": 11, "eligible": 11, "order": "first", "begins_with": "user"},
        "unanswered": 2,
    }
    return {"traces": {"multi_turn": trace, "single_turn": trace}}


def exports() -> dict[str, Any]:
    """Two formats of one trace; a reader with a hostile command."""
    readers = [{"tool": "vLLM", "command": HOSTILE, "checked": "read back"}]
    made = {
        "trace": "multi_turn", "bytes": 2048, "records": 7, "left_out": 1, "block_size": 16,
        "readers": readers,
    }  # fmt: skip
    return {
        "exports": [
            {**made, "format": "mooncake", "file": "results/traces/exports/a", "unit": "requests"},
            {**made, "format": "messages", "file": "results/traces/exports/b", "unit": "conversations"},
        ],
        "notes": {"mooncake": ["Milliseconds."], "messages": [HOSTILE]},
    }

"""The server on mini-vLLM, by the replay client and by OpenAI's."""

import asyncio
import time
from dataclasses import replace

import httpx
import pytest

from mini_vllm.limits import Limits
from tests.server.conftest import LIMITS, mini_server
from vllm_lab.load.sweep import growth, read_counters, replay
from vllm_lab.replay import mini
from vllm_lab.server.protocol import BadRequestError, ByteTexts, read


def gauges(url: str) -> dict[str, float]:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.partition("{")[0]: float(value) for name, value in pairs}


def wait_until(true, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


@pytest.mark.parametrize("forced", [True, False])
def test_a_replayed_trace_is_answered_with_its_own_tokens_and_finds_the_tokens_that_the_replay_finds(
    tmp_path, trace, requests, forced
):
    trace.write(tmp_path / "trace.parquet")
    given = [] if forced else ["--trace", str(tmp_path / "trace.parquet")]
    with mini_server(*LIMITS, *given) as url:
        before = read_counters(url)
        answers = replay(url, "mini-vllm", requests, forced=forced, timeout=30)
        grown = growth(before, read_counters(url))
    assert [answer.error for answer in answers] == [None] * len(requests)
    assert [answer.text for answer in answers] == [bytes(row.output).decode() for row in requests]
    assert [len(answer.chunks) for answer in answers] == [len(row.output) for row in requests]

    at_once = [replace(row, arrival_time=0.0) for row in requests]
    expected = mini.run("v4_prefix", at_once, Limits(num_blocks=200, block_size=16)).requests
    assert sum(row.cached_tokens for row in expected) == 4 * 32
    assert [answer.cached_tokens for answer in answers] == [row.cached_tokens for row in expected]
    assert grown == {
        "prefix_cache_queries": 6 * 75,
        "prefix_cache_hits": 4 * 32,
        "preemptions": 0,
        "prompt_tokens": 6 * 75,
        "generation_tokens": 6 * 8,
    }


@pytest.mark.parametrize("version", ["v1_naive", "v2_lru", "v3_priority"])
def test_every_version_serves(version, requests):
    with mini_server("--version", version, *LIMITS) as url:
        answers = replay(url, "mini-vllm", requests, forced=True, timeout=30)
    assert [(answer.error, answer.cached_tokens) for answer in answers] == [(None, 0)] * len(requests)


def test_preemptions_reach_the_counters(requests):
    together = [replace(row, arrival_time=0.0, output=row.output * 8) for row in requests]
    with mini_server("--num-blocks", "21", *LIMITS[2:]) as url:
        answers = replay(url, "mini-vllm", together, forced=True, timeout=30)
        assert read_counters(url)["preemptions"] > 0
    assert [answer.error for answer in answers] == [None] * len(requests)


def test_v1_dies_of_too_few_blocks_and_every_request_says_so(requests):
    together = [replace(row, arrival_time=0.0, output=row.output * 8) for row in requests]
    with mini_server("--version", "v1_naive", "--num-blocks", "21", *LIMITS[2:]) as url:
        answers = replay(url, "mini-vllm", together, forced=True, timeout=30)
        assert httpx.get(f"{url}/health").status_code == 503
    assert any("the engine stopped" in (answer.error or "") for answer in answers)
    assert all(answer.error is not None or answer.output_tokens == 64 for answer in answers)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_aborted_and_its_blocks_are_freed(stream):
    body = {"model": "mini-vllm", "prompt": list(range(1, 100)), "max_tokens": 2000, "stream": stream}

    async def leave(url: str) -> None:
        async with httpx.AsyncClient(base_url=url) as http:
            asking = asyncio.create_task(_read(http, body))
            while gauges(url)["vllm:num_requests_running"] < 1:
                await asyncio.sleep(0.02)
            asking.cancel()

    async def _read(http: httpx.AsyncClient, body: dict) -> None:
        async with http.stream("POST", "/v1/completions", json=body) as response:
            async for _ in response.aiter_lines():
                pass

    with mini_server("--num-blocks", "200", "--block-size", "16", "--clock", "0.05,0,0") as url:
        asyncio.run(leave(url))
        assert wait_until(lambda: gauges(url)["vllm:num_requests_running"] == 0)
        found = gauges(url)
    assert found["vllm:kv_cache_usage_perc"] == 0
    assert found["vllm:time_to_first_token_seconds_count"] <= 1


def test_steps_last_what_the_clock_says(requests):
    """A lower bound only: a busy machine is late, never early."""
    with mini_server("--num-blocks", "200", "--clock", "0.05,0,0") as url:
        (answer,) = replay(url, "mini-vllm", requests[:1], forced=True, timeout=30)
    assert answer.ttft >= 0.05
    assert answer.e2e >= 8 * 0.05


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b"{}", "prompt"),
        (b'{"prompt": ""}', "prompt"),
        (b'{"prompt": [1, -2]}', "token ids"),
        (b'{"prompt": "a", "max_tokens": 0}', "max_tokens"),
        (b'{"prompt": "a", "stream": "yes"}', "stream"),
        (b'{"prompt": "a", "n": 2}', "n:"),
        (b'{"prompt": "a", "priority": true}', "priority"),
        (b'{"prompt": "a", "max_tokens": 100000}', "blocks"),
        (b'{"prompt": "a", "vllm_xargs": {"forced_tokens": "a"}}', "forced_tokens"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(shared_server, body, words):
    answer = httpx.post(f"{shared_server}/v1/completions", content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "messages", ["hello", [], [{"role": "robot", "content": "a"}], [{"role": "user", "content": 3}]]
)
def test_malformed_messages_are_refused(shared_server, messages):
    answer = httpx.post(f"{shared_server}/v1/chat/completions", json={"messages": messages})
    assert answer.status_code == 400
    assert "messages" in answer.json()["error"]["message"]


def test_the_limit_of_a_chat_is_refused_by_the_name_that_the_client_gave():
    body = {"messages": [{"role": "user", "content": "a"}], "max_completion_tokens": 0}
    with pytest.raises(BadRequestError, match="max_completion_tokens: found 0"):
        read(body, ByteTexts(), chat=True)
    assert read(body | {"max_completion_tokens": 3, "max_tokens": 5}, ByteTexts(), chat=True).max_tokens == 3
    assert read(body | {"max_completion_tokens": None}, ByteTexts(), chat=True).max_tokens is None


@pytest.fixture(scope="module")
def shared_server():
    with mini_server() as url:
        yield url


def test_openais_own_client_talks_to_it(shared_server):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{shared_server}/v1", api_key="none", max_retries=0)
    assert [model.id for model in client.models.list()] == ["mini-vllm"]

    given = {"model": "mini-vllm", "max_tokens": 12}
    whole = client.completions.create(prompt="Say it", **given)
    pieces = list(client.completions.create(prompt="Say it", stream=True, **given))
    assert whole.choices[0].text == "".join(piece.choices[0].text for piece in pieces)
    assert len(whole.choices[0].text) == whole.usage.completion_tokens == len(pieces) == 12
    assert (whole.choices[0].finish_reason, pieces[-1].choices[0].finish_reason) == ("length", "length")

    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße"}]
    whole = client.chat.completions.create(messages=messages, **given)
    pieces = list(
        client.chat.completions.create(
            messages=messages, stream=True, stream_options={"include_usage": True}, **given
        )
    )
    text = "".join(piece.choices[0].delta.content for piece in pieces if piece.choices)
    assert whole.choices[0].message.content == text
    assert pieces[-1].usage.completion_tokens == 12
    assert pieces[-1].usage.prompt_tokens_details.cached_tokens > 0
    with pytest.raises(openai.BadRequestError, match="blocks"):
        client.completions.create(prompt="a" * 9999, **given)

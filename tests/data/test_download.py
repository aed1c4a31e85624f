"""The download over HTTP: whole, resumed, retried, refused."""

import hashlib
import shutil
from pathlib import Path

import data_sharegpt as sharegpt
import pytest

from vllm_lab.common.errors import LabError
from vllm_lab.data.sources import download, hub_url

BODY = bytes(range(256)) * 8192  # 2 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()


def fetch(url: str, output: Path, sha256: str = SHA256) -> None:
    download(url, output, sha256, pause_s=0.001)


def assert_whole(output: Path) -> None:
    assert output.read_bytes() == BODY
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def leave_part(output: Path, body: bytes, sha256: str = SHA256) -> None:
    output.with_name(f".{output.name}.{sha256[:16]}.part").write_bytes(body)


def test_a_file_comes_whole_and_leaves_nothing_beside_it(serve, tmp_path):
    server = serve(BODY)
    fetch(server.url + "/file", tmp_path / "new" / "raw.json")
    assert_whole(tmp_path / "new" / "raw.json")
    assert server.seen == [("/file", None)]


def test_a_dropped_connection_is_resumed_where_it_broke(serve, tmp_path):
    server = serve(BODY, drop_after=[1_500_000, 300_000])
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")
    assert [asked for _, asked in server.seen] == [None, "bytes=1500000-", "bytes=1800000-"]


def test_a_later_call_resumes_what_an_earlier_one_left(serve, tmp_path):
    server = serve(BODY)
    leave_part(tmp_path / "raw.json", BODY[:1000])
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")
    assert [asked for _, asked in server.seen] == ["bytes=1000-"]


def test_a_part_that_is_already_whole_needs_no_byte_more(serve, tmp_path):
    server = serve(BODY)
    leave_part(tmp_path / "raw.json", BODY)
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")


def test_a_part_longer_than_the_file_is_fetched_anew(serve, tmp_path):
    server = serve(BODY)
    leave_part(tmp_path / "raw.json", BODY + b"more")
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")


def test_a_part_of_a_file_of_another_hash_is_removed(serve, tmp_path):
    server = serve(BODY)
    leave_part(tmp_path / "raw.json", b"other", sha256="0" * 64)
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")
    assert server.seen == [("/", None)]


def test_a_part_from_another_mirror_is_continued(serve, tmp_path):
    with pytest.raises(LabError, match="gave up"):
        fetch(serve(BODY, drop_after=[1000] + [0] * 8).url, tmp_path / "raw.json")
    server = serve(BODY)
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")
    assert server.seen == [("/", "bytes=1000-")]


def test_a_server_without_ranges_is_read_from_the_start(serve, tmp_path):
    server = serve(BODY, ranges=False, drop_after=[1_500_000])
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")


def test_a_busy_server_is_asked_again(serve, tmp_path):
    server = serve(BODY, fail_first=[503, 429, 500])
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")
    assert len(server.seen) == 4


def test_a_server_that_stays_busy_ends_it_with_the_way_out(serve, tmp_path):
    server = serve(BODY, fail_first=[503] * 50)
    with pytest.raises(LabError, match=r"gave up after 8 attempts.*status 503.*run it again"):
        fetch(server.url, tmp_path / "raw.json")
    assert len(server.seen) == 8


def test_only_attempts_without_progress_count_towards_giving_up(serve, tmp_path):
    server = serve(BODY, drop_after=[100_000] * 15)
    fetch(server.url, tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")
    assert len(server.seen) == 16


def test_a_refusal_is_not_repeated_and_names_the_address(serve, tmp_path):
    server = serve(BODY, fail_first=[404])
    with pytest.raises(LabError, match=r"/file: the server answered 404.*check repository"):
        fetch(server.url + "/file", tmp_path / "raw.json")
    assert len(server.seen) == 1


def test_a_redirect_is_followed_with_the_range(serve, tmp_path):
    server = serve(BODY, redirect=True, drop_after=[1_000_000])
    fetch(server.url + "/file", tmp_path / "raw.json")
    assert_whole(tmp_path / "raw.json")
    assert server.seen[-1] == ("/moved/file", "bytes=1000000-")


def test_a_wrong_body_is_removed_and_named(serve, tmp_path):
    server = serve(b"<html>Log in</html>")
    with pytest.raises(LabError, match=f"sha256 .* expected {SHA256}; removed"):
        fetch(server.url, tmp_path / "raw.json")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_is_noticed_before_the_first_byte(serve, tmp_path, monkeypatch):
    server = serve(BODY)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(LabError, match="2 MiB are needed and 1 MiB are free"):
        fetch(server.url, tmp_path / "raw.json")


def test_nobody_listening_ends_it_with_the_way_out(tmp_path):
    with pytest.raises(LabError, match="gave up after 8 attempts"):
        fetch("http://127.0.0.1:9/file", tmp_path / "raw.json")


def test_the_hub_s_address_is_that_of_a_data_set_at_a_revision():
    assert hub_url("me/set", "abc", "a.json") == "https://huggingface.co/datasets/me/set/resolve/abc/a.json"
    assert (
        hub_url("me/set", "abc", "a.json", "http://mirror/")
        == "http://mirror/datasets/me/set/resolve/abc/a.json"
    )


def test_the_script_fetches_from_a_mirror_of_the_hub(serve, tmp_path):
    server = serve(BODY)
    output = tmp_path / "sharegpt.json"
    flags = (
        f"--source hub --repo me/set --revision abc --file a.json --endpoint {server.url} --sha256 {SHA256}"
    )
    sharegpt.main([*flags.split(), "--output", str(output)])
    assert_whole(output)
    assert server.seen == [("/datasets/me/set/resolve/abc/a.json", None)]

"""Results measured on another machine come home whole, or not at all, and stay apart from this project's."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.report.project import Project
from vllm_lab.common.errors import LabError
from vllm_lab.provenance import documents
from vllm_lab.provenance.__main__ import main
from vllm_lab.provenance.packing import merge_bundle, pack_bundle
from vllm_lab.provenance.upstream import describe
from vllm_lab.provenance.verify import adopt, verify

SETTINGS = {"device": "cpu", "traces": {"rate": 2.0}}
RESULT = "results/plan/{}/prefix_cache.json"
CONFIGURATION = "results/provenance/configuration.json"
HERE = "results/bundles/h200/plan/cuda/prefix_cache.json"


def project(root: Path, device: str, value: float = 2.0, **settings) -> Project:
    """A project with a model, a configuration and one benchmark on a device."""
    made = Project(root, host=f"{device}-node")
    (root / "schema.yaml").write_text("type: object\n")
    made.job("provenance_configuration", {CONFIGURATION: {**SETTINGS, "device": device, **settings}})
    model = made.job("data_model", {"results/data/model/config.json": {"the same": "everywhere"}})
    fitted = made.job("cost_model_measure", {"results/cost_model/c.json": {}}, inputs=model, kind="measured")
    made.job(
        "plan_prefix_cache",
        {RESULT.format(device): {"device": device, "value": value}},
        inputs=[*model, *fitted, "schema.yaml"],
        wildcards={"device": device},
        kind="measured",
    )
    return made


@pytest.fixture
def home(tmp_path):
    return project(tmp_path / "home", "cpu").root


@pytest.fixture
def cluster(tmp_path):
    return project(tmp_path / "cluster", "cuda", value=3.5).root


@pytest.fixture
def bundle(cluster, tmp_path):
    packed = tmp_path / "h200.zip"
    pack_bundle(cluster, [RESULT.format("cuda")], packed)
    return packed


def test_a_bundle_holds_whole_measured_jobs_and_the_configuration_and_leaves_the_rest_at_home(bundle):
    with zipfile.ZipFile(bundle) as packed:
        assert sorted(packed.namelist()) == [
            "bundle.json",
            "results/cost_model/c.json",
            "results/cost_model/cost_model_measure.prov.json",
            "results/plan/cuda/plan_prefix_cache-cuda.prov.json",
            "results/plan/cuda/prefix_cache.json",
            "results/provenance/configuration.json",
            "results/provenance/provenance_configuration.prov.json",
        ]


def test_a_merged_bundle_verifies_with_its_own_documents_untouched(home, cluster, bundle):
    folder = merge_bundle(home, bundle, "h200")
    assert verify(home) == []
    there = cluster / "results/plan/cuda/plan_prefix_cache-cuda.prov.json"
    assert (folder / "plan/cuda" / there.name).read_bytes() == there.read_bytes()
    found = documents.collect(home)[HERE]
    assert (found.bundle, found.run["host"]["name"]) == ("h200", "cuda-node")
    brought = "results/bundles/h200/cost_model/c.json"
    assert set(found.inputs) == {"results/data/model/config.json", brought, "schema.yaml"}
    assert found.identity == documents.collect(cluster)[RESULT.format("cuda")].identity


def test_the_chain_of_a_merged_result_leads_through_its_own_machine_to_our_data(home, bundle):
    merge_bundle(home, bundle, "h200")
    text = describe(home, HERE)
    assert "h200/plan_prefix_cache/cuda" in text
    assert "where: cuda-node" in text
    assert "by rule data_model" in text


@pytest.mark.parametrize(
    ("file", "kind"),
    [(HERE, "changed"), ("results/data/model/config.json", "stale")],
    ids=["its own", "an input"],
)
def test_a_changed_byte_of_a_merged_result_or_of_what_it_was_made_from_is_named(home, bundle, file, kind):
    merge_bundle(home, bundle, "h200")
    (home / file).write_text("other")
    assert (file, kind) in {(finding.path, finding.kind) for finding in verify(home, files=[HERE])}


def test_a_stray_file_among_a_bundle_s_is_named(home, bundle):
    folder = merge_bundle(home, bundle, "h200")
    (folder / "stray.json").write_text("{}")
    assert [(f.path, f.kind) for f in verify(home)] == [("results/bundles/h200/stray.json", "uncovered")]


def test_a_merge_that_was_broken_off_counts_for_nothing(home, cluster):
    shutil.copytree(cluster / "results", home / "results/.bundle-x1/results")
    assert verify(home) == []


def test_code_and_schemas_that_change_later_do_not_make_a_merged_result_stale(home, bundle):
    merge_bundle(home, bundle, "h200")
    (home / "schema.yaml").write_text("type: array\n")
    (home / "scripts/plan_prefix_cache.py").write_text("# newer\n")
    assert verify(home, files=[HERE]) == []
    assert not [path for path in adopt(home) if "bundles" in path]


def refused(home: Path, bundle: Path) -> str:
    with pytest.raises(LabError) as caught:
        merge_bundle(home, bundle, "h200")
    assert not (home / "results/bundles").exists()
    assert not list(home.glob("results/.bundle-*"))
    return str(caught.value)


def test_other_code_is_refused_and_named_with_its_commit(home, bundle):
    (home / "scripts/plan_prefix_cache.py").write_text("# newer\n")
    message = refused(home, bundle)
    assert "scripts/plan_prefix_cache.py: other code than here" in message
    assert "cuda-node at commit 0123456789ab" in message


def test_other_data_is_refused_and_missing_data_is_asked_for(home, bundle):
    (home / "results/data/model/config.json").write_text("another model")
    (home / "schema.yaml").write_text("type: array\n")
    message = refused(home, bundle)
    assert "results/data/model/config.json: rule plan_prefix_cache" in message
    assert "schema.yaml: rule plan_prefix_cache" in message
    (home / "results/data/model/config.json").unlink()
    assert "it must exist here too" in refused(home, bundle)


def test_other_settings_are_refused_key_by_key_but_for_the_device(home, tmp_path):
    cluster = project(tmp_path / "other", "cuda", traces={"rate": 3.0}).root
    pack_bundle(cluster, [RESULT.format("cuda")], tmp_path / "other.zip")
    message = refused(home, tmp_path / "other.zip")
    assert "config: traces.rate: 3.0 there, 2.0 here" in message
    assert "config: device" not in message


@pytest.mark.parametrize("damaged", [HERE.replace("bundles/h200/", ""), CONFIGURATION])
def test_a_damaged_bundle_is_refused(home, bundle, tmp_path, damaged):
    other = tmp_path / "damaged.zip"
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + b" " * (name == damaged))
    assert f"{damaged}: damaged" in refused(home, other)


def rewritten(bundle: Path, target: Path, change) -> Path:
    """The bundle with its manifest changed."""
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            new.writestr(name, json.dumps(change(json.loads(body))) if name == "bundle.json" else body)
    return target


def test_what_is_no_bundle_or_reaches_outside_results_is_refused(home, bundle, tmp_path):
    text = tmp_path / "text.zip"
    text.write_text("no zip file")
    assert "cannot be read as a bundle" in refused(home, text)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("x", "y")
    assert 'cannot be read as a bundle: "There is no item named' in refused(home, tmp_path / "other.zip")
    newer = rewritten(bundle, tmp_path / "newer.zip", lambda body: {**body, "schema": "vllm-lab/bundle/9"})
    assert "pack it again" in refused(home, newer)
    outside = rewritten(
        bundle, tmp_path / "outside.zip", lambda body: {**body, "files": {"results/../../x": "0"}}
    )
    assert "not below results/" in refused(home, outside)


def test_a_second_bundle_of_a_name_is_refused_and_lies_beside_under_another(home, bundle):
    merge_bundle(home, bundle, "h200")
    with pytest.raises(LabError, match="already exists"):
        merge_bundle(home, bundle, "h200")
    merge_bundle(home, bundle, "again")
    assert verify(home) == []
    with pytest.raises(LabError, match="not a name for a bundle"):
        merge_bundle(home, bundle, "../up")


def test_only_measured_results_of_one_s_own_that_verify_are_packed(home, cluster, bundle, tmp_path):
    with pytest.raises(LabError, match="rule data_model is deterministic"):
        pack_bundle(cluster, ["results/data/model/config.json"], tmp_path / "x.zip")
    merge_bundle(home, bundle, "h200")
    with pytest.raises(LabError, match="came in bundle h200"):
        pack_bundle(home, [HERE], tmp_path / "x.zip")
    with pytest.raises(LabError, match=r"CITATION\.cff: not a result"):
        pack_bundle(cluster, ["CITATION.cff"], tmp_path / "x.zip")
    (cluster / RESULT.format("cuda")).write_text("{}")
    with pytest.raises(LabError, match="nothing is packed"):
        pack_bundle(cluster, [RESULT.format("cuda")], tmp_path / "x.zip")
    (cluster / CONFIGURATION).unlink()
    with pytest.raises(LabError, match=f"run: snakemake --cores 1 {CONFIGURATION}"):
        pack_bundle(cluster, [RESULT.format("cuda")], tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_the_command_line_packs_and_merges(home, cluster, tmp_path, monkeypatch, capsys):
    packed = tmp_path / "h200.zip"
    monkeypatch.chdir(cluster)
    main(["pack", RESULT.format("cuda"), "--output", str(packed)])
    assert f"python -m vllm_lab.provenance merge {packed}" in capsys.readouterr().out
    monkeypatch.chdir(home)
    main(["merge", str(packed)])
    assert "results/bundles/h200: merged" in capsys.readouterr().out
    assert verify(home) == []

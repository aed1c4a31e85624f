"""The example's documents are such as the workflow writes: each fits the schema that covers its path."""

from functools import cache
from pathlib import Path

import pytest

from tests.report.example import content
from tests.report.record import RECORDED
from vllm_lab.common.files import write_json
from vllm_lab.provenance import schemas
from vllm_lab.provenance.schemas import SUFFIX, check, covering

ROOT = Path(__file__).parents[2]
SCHEMAS = sorted((ROOT / "workflow/schemas").glob(f"*{SUFFIX}"))
FILES = sorted(
    str(path.relative_to(RECORDED)) for path in RECORDED.rglob("*") if path.suffix in (".json", ".csv")
)
FREE = ("jobs.json", "results/provenance/configuration.json")  # the example's own, and checked as config.yaml


@pytest.fixture(autouse=True, scope="module")
def _each_schema_is_read_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schemas, "load", cache(schemas.load))
        yield


@pytest.mark.parametrize("name", [name for name in FILES if name not in FREE])
def test_a_document_of_the_example_fits_its_schema(tmp_path, name):
    schema = covering(name, SCHEMAS)
    assert schema is not None, f"no schema covers {name}"
    file = RECORDED / name
    if name.endswith(".json"):
        file = tmp_path / Path(name).name
        write_json(file, content(name))  # with the edits of the example
    check(file, schema)


def test_there_are_documents_of_every_stage():
    stages = {Path(name).parts[1] for name in FILES if name.startswith("results/")}
    assert stages >= {
        "data", "traces", "sharing", "replay", "oracle", "experiments", "cost_model", "plan", "load",
        "nsight", "tracing",
    }  # fmt: skip

"""roc-validator without a network: the contexts come from local copies, any other address is refused."""

from io import BytesIO
from pathlib import Path

import pytest
import requests
import urllib3
from rocrate_validator.models import Severity
from rocrate_validator.services import ValidationSettings, validate

CONTEXTS = Path(__file__).parent / "contexts"
LOCAL = {
    "https://w3id.org/ro/crate/1.1/context": CONTEXTS / "ro-crate-1.1.jsonld",
    "https://w3id.org/ro/terms/workflow-run/context": CONTEXTS / "workflow-run.jsonld",
}


def failures(crate: Path, profile: str = "provenance-run-crate") -> list[str]:
    """The REQUIRED checks, of a profile and those it builds on, that a crate (folder or zip file) fails."""
    settings = ValidationSettings(
        rocrate_uri=crate,
        profile_identifier=profile,
        requirement_severity=Severity.REQUIRED,
        no_cache=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.adapters.HTTPAdapter, "send", _local)
        result = validate(settings)
    assert result.executed_checks, "nothing was checked"
    return [f"{issue.check.name}: {issue.message}" for issue in result.get_issues()]


def _local(adapter: requests.adapters.HTTPAdapter, request: requests.PreparedRequest, **options: object):
    if request.url not in LOCAL:
        raise requests.ConnectionError(f"{request.url}: no network in tests")
    body = BytesIO(LOCAL[request.url].read_bytes())
    headers = {"Content-Type": "application/ld+json"}
    return adapter.build_response(
        request, urllib3.HTTPResponse(body, headers, status=200, preload_content=False)
    )

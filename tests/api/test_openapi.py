"""A live node against api/openapi.yaml: schemathesis sends what the page allows and what it forbids."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from harness import ROOT

SPECIFICATION = yaml.safe_load((ROOT / "api/openapi.yaml").read_text())
# Requests per operation and phase; the whole stays within two minutes.
EXAMPLES = os.environ.get("SPORE_API_EXAMPLES", "25")
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
]


@pytest.fixture
def answering(nodes):
    """The node that is asked."""
    return nodes[-1]


# What would take the node away: it restarts, looks for another network, or leaves HTTP.
EXCLUDED = ("restart", "update", "setWifi", "webSocket")


def specification(folder):
    """The page, less the settings that would send the node to another network."""
    page = copy.deepcopy(SPECIFICATION)
    for schema in ("ConfigChange", "ConfigForm"):
        for name in ("wifiSsid", "wifiPassphrase"):
            del page["components"]["schemas"][schema]["properties"][name]
    path = folder / "openapi.json"
    path.write_text(json.dumps(page))
    return path


def test_the_node_does_what_the_page_says(answering, tmp_path):
    host, port = answering.address
    before = answering.get("/api/node/config")
    boots = answering.status()["boot"]
    try:
        done = subprocess.run(
            [
                Path(sys.executable).parent / "schemathesis",
                "--config-file", Path(__file__).parent / "schemathesis.toml",
                "run", specification(tmp_path),
                "--url", f"http://{host}:{port}",
                "--checks", ",".join(CHECKS),
                *(word for name in EXCLUDED for word in ("--exclude-operation-id", name)),
                "--phases", "examples,coverage,fuzzing",
                "--max-examples", EXAMPLES,
                "--request-timeout", "20",
                "--continue-on-failure",
                "--no-color",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        print(done.stdout[-20000:], done.stderr[-5000:])
        assert done.returncode == 0
        assert answering.status()["boot"] == boots, "it has not crashed on the way"
    finally:
        keep = {name: value for name, value in before.items() if not name.startswith("wifiPass") and name != "wifiSsid"}
        answering.config(**keep)


def operations(page):
    return {(path, method.upper()) for path, item in page["paths"].items() for method in item if method != "parameters"}


def test_the_catalogue_is_the_page(answering):
    """Every endpoint a node serves is on the page, and every one on the page is served, by this node or its neighbours."""
    served = set()
    for node in answering.lab.nodes:
        served |= {(each["uri"], each["method"]) for each in node.get("/api/node/endpoints")["endpoints"]}
    assert served == operations(SPECIFICATION)


def test_statuses_list_the_catalogue(answering):
    for node in answering.lab.nodes:
        catalogue = {(each["uri"], each["method"]) for each in node.get("/api/node/endpoints")["endpoints"]}
        assert {(each["uri"], each["method"]) for each in node.status()["api"]} == catalogue

"""Errors about the options of a search that name a place elsewhere, or need a package."""

import sys
import tomllib
from pathlib import Path

import pytest

from common.errors import SearchError
from search.config.command_line import resolve
from tests.remedies.harness import Attempt, Refusal, Steps, case
from tests.remedies.places import ROOT

RULES = "search/config/validation.py"


def checked(**options: str) -> Attempt:
    """Returns an attempt that checks options and nothing else, as some would need a network."""

    def attempt() -> None:
        _, errors = resolve({"space": "demo"}, options)
        if errors:
            raise SearchError(errors)

    return attempt


@case(f"{RULES}::module", "must be an absolute path, or a URI without a key")
def a_place_with_a_key_in_it(tmp_path: Path) -> Steps:
    refusal = yield checked(storage="s3://KEY:secret@bucket/runs", data_uri="data")
    assert refusal.find(r"--storage must be (an absolute path|a URI without a key)")
    assert "keys come from each node's role or environment" in refusal.text
    return checked(storage="s3://bucket/runs", data_uri=str(tmp_path))


@case(f"{RULES}::module", "must be auto or HOST:PORT of a cluster")
def an_address_of_ray_client() -> Steps:
    refusal = yield checked(address="ray://head:10001")
    return checked(address=refusal.find(r"log in there, .* and use (\w+)\)"))


def check_extra(refusal: Refusal, package: str) -> None:
    """Checks that the extra which a sentence advises to install holds the package."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    name = refusal.find(r"pip install '\.\[(\w+)\]'")
    assert any(line.startswith(package) for line in extras[name])


@case(f"{RULES}::tracking_rules", "'.[mlflow]'")
def mlflow_without_its_package(monkeypatch: pytest.MonkeyPatch) -> Steps:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        refusal = yield checked(mlflow="sqlite:///mlflow.db")
    check_extra(refusal, "mlflow")


@case(f"{RULES}::tracking_rules", "'.[wandb]'")
def wandb_without_its_package(monkeypatch: pytest.MonkeyPatch) -> Steps:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb", None)
        refusal = yield checked(wandb="project")
    check_extra(refusal, "wandb")

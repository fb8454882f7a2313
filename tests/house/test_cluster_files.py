"""The files for `ray up`: sound by Ray's own schema, and in step with Makefile and options."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
FILES = ("cluster.yaml", "cluster-local.yaml")


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_it(name: str) -> None:
    validate_config(prepare_config(read(name)))


@pytest.mark.parametrize("name", FILES)
def test_ray_refuses_a_misspelt_key(name: str) -> None:
    with pytest.raises(Exception, match="setup_command_"):
        validate_config(prepare_config(read(name) | {"setup_command_": []}))


@pytest.mark.parametrize("name", FILES)
def test_nodes_are_set_up_as_any_machine_and_guarded_by_the_token(name: str) -> None:
    config = read(name)
    (setup,) = config["setup_commands"]
    (target,) = re.findall(r"make ([\w-]+)", setup)
    assert re.search(
        rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    mounted = config["file_mounts"]
    assert mounted["~/.ray/auth_token"] == "~/.ray/auth_token"
    (folder,) = (remote for remote, here in mounted.items() if here == ".")
    assert folder in setup
    for start in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert f"RAY_AUTH_MODE=token {folder}/.venv/bin/ray start" in start[-1]
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]


@pytest.mark.parametrize("name", FILES)
def test_data_runs_and_caches_stay_here(name: str) -> None:
    config = read(name)
    ignored = {
        line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    }
    assert {".venv", "data", "runs", "build"} <= ignored & set(config["rsync_exclude"])
    assert ".git" in config["rsync_exclude"]


@pytest.mark.parametrize("name", FILES)
def test_the_commands_in_its_comments_can_be_typed(name: str) -> None:
    from search.config.command_line import parse, resolve

    (line,) = re.findall(r"python -m search\.run (.*)", (ROOT / name).read_text(encoding="utf-8"))
    given, unknown = parse(line.replace("BUCKET", "bucket").split())
    assert unknown + resolve(given)[1] == []


def test_nodes_on_aws_are_mixed_and_may_be_spot() -> None:
    types = read("cluster.yaml")["available_node_types"]
    spot = {name for name, each in types.items() if "InstanceMarketOptions" in each["node_config"]}
    assert spot == set(types) - {"head"}
    assert len({each["node_config"]["InstanceType"] for each in types.values()}) == 4

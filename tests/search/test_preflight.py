"""The preflight against environments made of real folders: metadata, programs and packages."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from search import preflight

ROOT = preflight.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES = [Requirement(line).name for line in PROJECT["dependencies"]]
# The names as pyproject.toml has them, with the versions that are installed here.
GOOD = {name: version(name) for name in (*NAMES, "aiohttp-cors", "tensorboardX")}
RAY_REQUIRES = [
    "filelock",
    'aiohttp-cors; extra == "default"',
    'windows-curses; sys_platform == "win32" and extra == "default"',
    'tensorboardX; extra == "tune"',
    'fastapi; extra == "serve"',
]

Environment = Callable[..., Path]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Lets Python see this project, the standard library and distributions made on the spot."""

    def make(**changes: str | None) -> Path:
        site = tmp_path / "site"
        for name, release in (GOOD | changes).items():
            if release is None:
                continue
            folder = site / f"{name.replace('-', '_')}-{release}.dist-info"
            folder.mkdir(parents=True)
            requires = RAY_REQUIRES if name == "ray" else []
            lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {release}"]
            lines += [f"Requires-Dist: {each}" for each in requires]
            lines += [f"Provides-Extra: {each}" for each in ("default", "tune", "serve")]
            (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        library = [path for path in sys.path if "site-packages" not in path]
        monkeypatch.setattr(sys, "path", [str(ROOT), str(site), *library])
        return site

    return make


def _programs(folder: Path, **scripts: str) -> str:
    folder.mkdir()
    for name, body in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
    return str(folder)


def test_nothing_is_missing_in_a_good_environment(environment: Environment) -> None:
    environment()
    assert preflight.missing() == []
    preflight.check()


def test_nothing_is_missing_here() -> None:
    assert preflight.missing() == []


def test_every_missing_package_is_named_in_one_sentence(environment: Environment) -> None:
    environment(optuna=None, pyyaml=None)
    (sentence,) = preflight.missing()
    assert "lacks optuna, pyyaml;" in sentence
    assert "make setup" in sentence


@pytest.mark.parametrize(
    ("name", "release", "rule"),
    [
        ("ffcv", "1.1.0", "ffcv must be ==1.0.2, but 1.1.0 is installed"),
        ("optuna", "4.2.1", "optuna must be >=5.0, but 4.2.1 is installed"),
        ("ray", "2.9.3", "ray must be >=2.60, but 2.9.3 is installed"),
    ],
)
def test_a_wrong_version_is_named(
    environment: Environment, name: str, release: str, rule: str
) -> None:
    environment(**{name: release})
    (sentence,) = preflight.missing()
    assert sentence.startswith(rule)
    assert "make setup" in sentence


def test_ray_without_its_dashboard_is_named(environment: Environment) -> None:
    environment(**{"aiohttp-cors": None})
    (sentence,) = preflight.missing()
    assert sentence.startswith("ray must be installed as ray[default], but aiohttp-cors is missing")


@pytest.mark.parametrize(
    ("torch", "vision", "fits"),
    [
        ("2.14.0", "0.29.1", True),
        ("2.6.0", "0.21.0", True),
        ("2.13.0", "0.29.1", False),
        ("2.14.1", "0.28.0", False),
        ("2.14.1+cpu", "0.29.1", False),
        ("2.14.1+cpu", "0.29.1+cpu", True),
        ("2.14.1+cu130", "0.29.1", True),
        ("2.14.0a0+abcdef", "0.29.0a0", True),
    ],
)
def test_torchvision_must_fit_torch(
    environment: Environment, torch: str, vision: str, fits: bool
) -> None:
    environment(torch=torch, torchvision=vision)
    found = preflight.missing()
    assert len(found) == (0 if fits else 1)
    if not fits:
        assert f"torch {torch} and torchvision {vision} are installed" in found[0]


@pytest.mark.parametrize(
    ("scripts", "wanted"),
    [
        ({"c++": "exit 0"}, ["pkg-config libopencv-dev libturbojpeg0-dev"]),
        ({"c++": "exit 0", "pkg-config": '[ "$2" != opencv4 ]'}, ["libopencv-dev"]),
        ({"c++": "exit 0", "pkg-config": '[ "$2" != libturbojpeg ]'}, ["libturbojpeg0-dev"]),
        ({"pkg-config": "exit 1"}, ["build-essential", "libopencv-dev", "libturbojpeg0-dev"]),
        ({"c++": "exit 0", "pkg-config": "exit 0"}, []),
    ],
)
def test_what_ffcv_is_built_with_is_asked_for_while_it_is_absent(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    scripts: dict[str, str],
    wanted: list[str],
) -> None:
    environment(ffcv=None)
    monkeypatch.setenv("PATH", _programs(tmp_path / "bin", **scripts))
    absent, *pieces = preflight.missing()
    assert "lacks ffcv;" in absent
    assert [each.split("`apt-get install ")[1] for each in pieces] == [f"{w}`." for w in wanted]


def test_build_tools_do_not_matter_once_ffcv_is_there(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment()
    monkeypatch.setenv("PATH", "")
    assert preflight.missing() == []


def test_an_ffcv_that_does_not_load_is_named(environment: Environment) -> None:
    site = environment()
    (site / "ffcv").mkdir()
    (site / "ffcv" / "_libffcv.so").write_text("half a library", encoding="utf-8")
    (site / "ffcv-1.0.2.dist-info" / "RECORD").write_text("ffcv/_libffcv.so,,\n", encoding="utf-8")
    (sentence,) = preflight.missing()
    assert sentence.startswith("ffcv must be loadable, but its compiled part isn't")
    assert "--force-reinstall" in sentence


def test_too_old_a_python_is_the_only_complaint(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(torch=None)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
        found = preflight.missing()
    assert found == [
        "Python must be 3.11 or newer, but this is 3.10.13; type `make setup PYTHON=python3.12`."
    ]


def test_everything_wrong_is_reported_at_once(environment: Environment, tmp_path: Path) -> None:
    environment(optuna="4.0", torchvision="0.28.0", rich=None)
    with pytest.raises(preflight.PreflightError) as caught:
        preflight.check()
    assert len(caught.value.errors) == 3
    assert all(error in str(caught.value) for error in caught.value.errors)


def test_folders_of_ours_are_not_foreign() -> None:
    assert preflight.foreign_packages(ROOT) == []


def test_another_root_makes_every_folder_foreign(tmp_path: Path) -> None:
    found = preflight.foreign_packages(tmp_path)
    assert [each.split("`")[1] for each in found] == list(preflight.ROOMS)
    assert all(f"the folder in {tmp_path}, but Python finds {ROOT}/" in each for each in found)


def test_a_foreign_package_earlier_on_the_path_is_named(tmp_path: Path) -> None:
    foreign = tmp_path / "elsewhere" / "datasets"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text(
        "raise SystemExit('the foreign package was imported')\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-m", "search.preflight"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{foreign.parent}{os.pathsep}{ROOT}"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: `datasets` must be the folder in {ROOT}, but Python finds {foreign}; start from "
        f"{ROOT} with `python -m …`, and leave PYTHONPATH empty.\n"
    )


def test_the_packages_named_are_those_that_setup_installs() -> None:
    setup = (ROOT / ".ci" / "setup").read_text(encoding="utf-8")
    source = Path(preflight.__file__).read_text(encoding="utf-8")
    for package in ("build-essential", "pkg-config", "libopencv-dev", "libturbojpeg0-dev"):
        assert f"echo {package}\n" in setup
        assert package in source

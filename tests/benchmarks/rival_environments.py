"""Virtual environments for rivals whose packages don't go with ours: in build/rivals/NAME.

python -m tests.benchmarks.rival_environments neps dehb smac
"""

import argparse
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

from tests.benchmarks import measure
from tests.benchmarks.measure import ROOT

FOLDER = ROOT / "build" / "rivals"

PACKAGES = {
    "neps": ["neural-pipeline-search==0.17.0"],
    "dehb": ["dehb==0.1.2"],
    "smac": ["smac==2.4.1"],
}
"""What pip installs into each environment."""


def interpreter(name: str) -> Path:
    """The Python of an environment, whether it has been made or not."""
    return FOLDER / name / "bin" / "python"


def is_made(name: str) -> bool:
    return interpreter(name).exists() and bool(versions(name))


def versions(name: str) -> dict[str, str]:
    """The versions of the packages that an environment was made for; none before it is made."""
    path = [str(each) for each in (FOLDER / name / "lib").glob("python*/site-packages")]
    packages = [package.partition("==")[0] for package in PACKAGES[name]]
    found = [(p, next(iter(Distribution.discover(name=p, path=path)), None)) for p in packages]
    return {package: each.version for package, each in found if each is not None}


def every_version() -> dict[str, str]:
    """The versions of the rivals in all environments that have been made."""
    return {package: found for name in PACKAGES for package, found in versions(name).items()}


def command(name: str) -> str:
    """The command that makes an environment."""
    return f"python -m tests.benchmarks.rival_environments {name}"


def make(name: str) -> None:
    """Makes an environment, or completes it. Raises `BenchmarkError` where pip can't."""
    python = interpreter(name)
    for step in (
        [sys.executable, "-m", "venv", str(FOLDER / name)],
        [str(python), "-m", "pip", "install", "--prefer-binary", *PACKAGES[name]],
    ):
        if code := subprocess.run(step, check=False).returncode:
            raise measure.BenchmarkError(f"`{' '.join(step)}` ended with exit code {code}.")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.rival_environments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="+", choices=PACKAGES)
    for name in parser.parse_args().name:
        make(name)


if __name__ == "__main__":
    sys.exit(measure.main(main))

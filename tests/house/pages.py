"""The pages that people read: their code blocks and commands, and which of these run here."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "docs").glob("*.md"),
        *GUIDES.glob("*.md"),
        ROOT / "results" / "published" / "README.md",
    ]
)
"""Every page that is written for people; `reference.md`, which is generated, is one of them."""

NOT_RUN = {
    "make ": "prepares a whole machine: test_setup.py",
    ". .venv/bin/activate": "changes the reader's own shell",
    "pip install ": "asks a package registry",
    "python -m tests.benchmarks.": "takes half an hour and more: tests/benchmarks has a small one",
    "ray get-auth-token": "reads or writes the user's own token: test_security.py",
    "ray up ": "needs other machines: test_cluster_files.py",
    "ray attach ": "needs other machines",
    "RAY_AUTH_MODE=token ray start ": "makes a node of this machine: test_ray_cluster.py",
    "sbatch ": "needs Slurm: test_slurm_scripts.py",
    "docker ": "needs a Docker daemon: test_container_examples.py",
    "kubectl ": "needs a Kubernetes cluster: test_container_examples.py",
    "aws s3 cp ": "needs a bucket: test_network_drill.py has one",
    "ssh ": "needs another machine",
    "prometheus ": "serves until it is stopped: test_watched.py asks a real one",
    "cp search/monitoring/grafana/": "copies into what a running Ray has written",
    "grafana-server ": "serves until it is stopped",
    "tensorboard ": "serves until it is stopped: test_trackers.py reads the files",
    "optuna-dashboard ": "serves until it is stopped",
    "python -m results.report runs/first --serve": "serves until stopped: test_live_browser.py",
    "python -m search.run --resume theirs ": "needs a run of somebody else: test_foreign_runs.py",
    "python -m search.steer ": "needs a search that runs meanwhile: test_steered_search_run.py",
}
"""Lines that no test runs, by how they begin, and why; a file that is named tests what it can."""

WITHOUT = {"--address": "clusters have a test of their own: test_ray_cluster.py"}
"""Options that a command is run without, with their value, and why."""

MAKERS = "python -m results.published.make_"
"""How the commands begin that make the pages of measurements; they need no arguments."""


def blocks(path: Path, *kinds: str) -> list[str]:
    """The bodies of a page's code blocks of these kinds, in order; in a list they are indented."""
    found = re.findall(
        r"^ *```(\w+)\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [textwrap.dedent(body) for kind, body in found if kind in kinds]


def lines(path: Path) -> list[str]:
    """The lines to type of a page, in order."""
    return [line for body in blocks(path, "sh") for line in body.splitlines()]


def spans(path: Path) -> list[str]:
    """What stands in a page's text as code: everything between backticks outside of blocks."""
    text = re.sub(
        r"^ *```.*?^ *```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


def why_not_run(line: str) -> str | None:
    """Why no test runs a line; `None` where one does."""
    return next((why for begin, why in NOT_RUN.items() if line.startswith(begin)), None)


def tables(path: Path, *heading: str) -> list[list[str]]:
    """The rows of every table of a page with this heading, as the texts of their cells."""
    rows: list[list[str]] = []
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells == list(heading):
            inside = True
        elif inside and not line.startswith("|---"):
            rows.append(cells)
    return rows

"""Whole lines of a run's files lost, doubled, exchanged or reversed, and files missing or replaced.

Every reader gives what it gave before or refuses by name; a search that goes on ends as it would
have undisturbed. Only a lost end that no other file knows of is an earlier moment of the run.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from common.errors import UserError
from results import frame
from results.export import best_config
from results.importance import importances
from results.page.run_data import read_run
from results.report import write_report
from results.store import EPOCHS, FINALIST_EPOCHS, FINALISTS, MANIFEST, TRIALS, read_manifest
from search.monitoring.summary import read_result
from search.planning.plan import Plan
from search.planning.warm_start import read_earlier_run
from search.session.session import Session
from search.simulation.recorded_curves import read_run_curves
from search.study.prior_trials import EVIDENCE
from tests.damage.line_mutations import MutateLines, line_mutations
from tests.search.session_on_curves import opened, outcome, planned, search
from tests.search.study_on_curves import curve

JOURNAL = "journal.log"
FILES = (TRIALS, EPOCHS, FINALISTS, FINALIST_EPOCHS, EVIDENCE, JOURNAL)
READ_BY_ALL = FILES[:4]

Content = dict[str, bytes]


def train(session: Session, epochs: float = float("inf")) -> None:
    """One worker trains trials and finalists on made curves, for some epochs at most."""
    done = 0
    while (proposal := session.supervisor.propose()) is not None:
        whole = curve(proposal.config, proposal.config.epochs)
        for metrics in whole[proposal.epochs_done :]:
            if done >= epochs:
                return
            done += 1
            if session.supervisor.epoch(proposal.training, metrics):
                break


def kill(session: Session) -> None:
    """Ends a session without a word in the manifest."""
    session.finalists.store.close()
    session.store.close()


def plan_of(run: Path, data: Path) -> Plan:
    """The plan of a run that goes on. Raises `UserError` with the sentences of a refused one."""
    try:
        return planned(run.parent, data, {"out": str(run.parent)}, name=run.name, trials=6)
    except AssertionError as error:
        raise UserError(error.args[0]) from error


def go_on(run: Path, data: Path) -> Any:
    """The end of a search that goes on with the run, without times."""
    session = opened(plan_of(run, data))
    train(session)
    session.close()
    return outcome(run)


def read_page(run: Path) -> Any:
    page = read_run(run)
    return (
        page.trials, page.recorded, page.finalists, page.finalist_epochs, page.best,
        dict(sorted(page.ranges.items())),
    )  # fmt: skip


def read_curves(run: Path) -> Any:
    curves = read_run_curves(run)
    return curves.points.tolist(), curves.val.tolist(), curves.epoch_s.tolist()


READERS: dict[str, Callable[[Path], Any]] = {
    "frame.trials": lambda run: frame.trials(run).to_csv(),
    "frame.epochs": lambda run: frame.epochs(run).to_csv(),
    "frame.finalists": lambda run: frame.finalists(run).to_csv(),
    "export": best_config,
    "report and compare": read_page,
    "importance": lambda run: repr(importances(run)),
    "warm start": read_earlier_run,
    "simulate": read_curves,
}
pytestmark = pytest.mark.usefixtures("plan_quickly")

READ_THE_JOURNAL = ("report and compare", "importance", "simulate")


def make_run(out: Path, data: Path, name: str, seed: int) -> Path:
    """A warm-started search with finalists: one session ended in order, the next one was killed."""
    earlier = planned(out, data, {"seed": seed}, name=f"{name}-before", trials=3)
    search(earlier)
    options = {
        "warm_start": [str(earlier.directory)], "finalists": 1, "repeats": 2, "seed": seed,
        "epochs": 3,
    }  # fmt: skip
    session = opened(planned(out, data, options, name=name, trials=6))
    train(session, 7)
    session.close()
    session = opened(plan_of(out / name, data))
    train(session, 12)
    kill(session)
    return out / name


class Truth:
    """A run, what is read of it, and how its search ends when it goes on."""

    def __init__(self, run: Path, data: Path, scratch: Path) -> None:
        self.run, self.data, self.scratch = run, data, scratch
        self.content: Content = {name: (run / name).read_bytes() for name in FILES}
        self.counts = read_manifest(run)["chain"]["files"]
        self.read = {name: read(run) for name, read in READERS.items()}
        self.shown = read_result(plan_of(run, data))
        self.end = go_on(self.copy(), data)

    def copy(self, name: str = "", content: bytes | None = None) -> Path:
        """A copy of the run in the same place, with another content of one file, or without it."""
        place = self.scratch / self.run.name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.run, place)
        (place / ".lock").unlink(missing_ok=True)
        if name:
            (place / name).unlink()
        if content is not None:
            (place / name).write_bytes(content)
        return place

    def is_earlier(self, name: str, content: bytes | None) -> bool:
        """Whether this is a file as it was, or without an end that the manifest doesn't count."""
        lines, whole = (content or b"").splitlines(), self.content[name].splitlines()
        counted = self.counts.get(name, {"lines": 0})["lines"]
        return lines == whole[: len(lines)] and len(lines) >= counted

    def check_readers(self, name: str, content: bytes | None) -> None:
        """Reads the damaged run in every way that doesn't go on with it."""
        run = self.copy(name, content)
        same = content == self.content[name]
        for reader, read in READERS.items():
            try:
                found = read(run)
            except UserError as error:
                assert not same, (reader, error)  # noqa: PT017
                self.check_refusal(str(error), name, run)
                continue
            if name in READ_BY_ALL and not same:
                assert self.is_earlier(name, content), (reader, name)
            elif name == JOURNAL and content is None and reader == "report and compare":
                assert found[:5] == self.read[reader][:5]  # its page names the missing file
            else:
                assert found == self.read[reader], (reader, name)

    def check_refusal(self, text: str, name: str, run: Path) -> None:
        """Compares a refusal with the fault. Its remedy is carried out in tests/remedies too."""
        assert "\n" not in text
        assert str(run) in text
        if name == JOURNAL:
            assert "journal.log" in text
            assert "go on with the run by `python -m search.run --resume" in text
        else:
            assert f"restore {run} from a copy of it, or begin a new run under" in text

    def check_end(self, name: str, content: bytes | None) -> None:
        """Goes on with the damaged run."""
        run = self.copy(name, content)
        try:
            found = go_on(run, self.data)
        except UserError as error:
            assert name != JOURNAL, error  # noqa: PT017 - it is made anew
            assert content != self.content[name], error  # noqa: PT017
            self.check_refusal(str(error), name, run)
            assert go_on(self.copy(), self.data) == self.end  # restored from a copy
        else:
            assert self.is_earlier(name, content) or name == JOURNAL, name
            assert found == self.end, name
            for reader in READ_THE_JOURNAL:
                READERS[reader](run)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Truth:
    out = tmp_path_factory.mktemp("whole")
    run = make_run(out, tiny_data, "run", 0)
    return Truth(run, tiny_data, tmp_path_factory.mktemp("damaged"))


def mutated(truth: Truth, name: str, mutate: MutateLines) -> bytes:
    lines = truth.content[name].splitlines(keepends=True)
    return b"".join(mutate(lines))


def many(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],  # a search takes seconds
    )  # fmt: skip


def damage(truth: Truth, name: str, check: Callable[[str, bytes | None], None], n: int) -> None:
    @many(n)
    @given(mutate=line_mutations())
    def attempt(mutate: MutateLines) -> None:
        check(name, mutated(truth, name, mutate))

    attempt()


@pytest.mark.parametrize("name", FILES)
def test_readers_of_damaged_lines(truth: Truth, name: str) -> None:
    damage(truth, name, truth.check_readers, 12)


@pytest.mark.parametrize("name", FILES)
def test_searches_that_go_on_with_damaged_lines(truth: Truth, name: str) -> None:
    damage(truth, name, truth.check_end, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_damaged_lines(truth: Truth, name: str) -> None:
    damage(truth, name, truth.check_readers, 300)
    damage(truth, name, truth.check_end, 60)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(truth: Truth, name: str) -> None:
    truth.check_readers(name, None)
    truth.check_end(name, None)


def test_a_file_of_another_run(truth: Truth, tmp_path: Path, tiny_data: Path) -> None:
    other = make_run(tmp_path, tiny_data, "run", 1)
    for name in FILES:
        content = (other / name).read_bytes()
        truth.check_readers(name, content)
        truth.check_end(name, content)
    run = truth.copy(MANIFEST, (other / MANIFEST).read_bytes())
    for read in READERS.values():
        with pytest.raises(UserError, match="line 1 is damaged, or not where it was written"):
            read(run)


def test_what_the_screen_shows_is_read_in_the_same_way(truth: Truth) -> None:
    run = truth.copy()
    plan = plan_of(run, truth.data)
    assert read_result(plan) == truth.shown
    lines = truth.content[TRIALS].splitlines(keepends=True)
    (run / TRIALS).write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(UserError, match=r"trials\.jsonl line 1 is damaged, or not where"):
        read_result(plan)


def test_a_page_is_not_made_of_other_lines(truth: Truth) -> None:
    run = truth.copy(EPOCHS, b"".join(truth.content[EPOCHS].splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match=r"epochs\.jsonl line 1 is damaged, or not where"):
        write_report(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("before", [True, False])
def test_an_empty_line_in_the_journal(truth: Truth, before: bool) -> None:
    content = truth.content[JOURNAL]
    truth.check_end(JOURNAL, b"\n" + content if before else content + b"\n")


@given(st.data())
@many(20)
def test_files_copied_while_the_search_goes_on(truth: Truth, data: st.DataObject) -> None:
    """Each file is of another moment: cut behind the lines that the manifest counts."""
    run = truth.copy()
    for name in READ_BY_ALL:
        lines = truth.content[name].splitlines(keepends=True)
        least = truth.counts.get(name, {"lines": 0})["lines"]
        (run / name).write_bytes(b"".join(lines[: data.draw(st.integers(least, len(lines)))]))
    try:
        found = go_on(run, truth.data)
    except UserError as error:
        truth.check_refusal(str(error), EPOCHS, run)
    else:
        assert found == truth.end

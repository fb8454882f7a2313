"""Tells a user's commands of a search's best trials and of its end (`--on-best`, `--on-end`).

The commands come from the command line of the process that runs them. They are never recorded with
a run, because a run may come from elsewhere, and because they may hold secrets.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from common.errors import UserError
from common.signals import code_of
from common.text import redacted
from results.records import TrainingRecord, TrialRecord, TrialState
from results.report import REPORT
from results.run_hints import resume_command
from results.store import BEST, MANIFEST, read_manifest
from search.monitoring.summary import read_result
from search.planning.plan import Plan
from search.session.hooks.commands import LIMIT_S, LOG, CommandThread, run_command
from search.session.hooks.outcome import Best, End, Happening, SearchOutcome, existing
from search.study.horizons import horizon_of
from search.study.observer import Observer
from search.study.study import Study
from trainables.config import TrialConfig


class Hooks:
    """Runs the commands of one session of the plan's search.

    on_end, on_best: the commands; empty texts stand for none.
    warn: is called with a note on each command that fails, which harms nothing else.
    limit_s: the seconds after which a command is ended.
    Creating an instance copies the environment as it is then, before Ray adds to it.
    """

    def __init__(
        self,
        plan: Plan,
        on_end: str = "",
        on_best: str = "",
        warn: Callable[[str], object] = print,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._plan, self._on_end, self._on_best = plan, on_end, on_best
        self._warn, self._limit_s = warn, limit_s
        self._environment = dict(os.environ)
        self._best: CommandThread | None = None
        if on_best:
            self._best = CommandThread(partial(self._run, on_best), limit_s)
        self.error: str | None = None

    def around(self, search: Callable[[], int]) -> int:
        """Calls `search`, which returns an exit code, and tells the command of the end how it has
        ended, whatever it returns or raises.
        """
        try:
            code = search()
        except UserError as error:
            self.error = str(error)
            self.ended(2)
            raise
        except KeyboardInterrupt as error:
            self.ended(code_of(error))
            raise
        except Exception as error:  # a fault of ours, or of a package
            self.error = f"{type(error).__name__}: {error}"
            self.ended(1)
            raise
        self.ended(code)
        return code

    def observers(self, study: Study[TrialConfig]) -> list[Observer]:
        """Returns the observer that finds new best trials of the study, if a command wants to know
        of them.
        """
        thread = self._best
        if thread is None:
            return []

        def tell(record: TrialRecord) -> None:
            thread.submit(_describe_best(self._plan, study, record))

        return [BestWatch(study, tell, self._report)]

    def ended(self, code: int) -> None:
        """Runs the command of the end; `code` is the search's exit code, and `error` is set where
        an error has cut it short. Calls `finish_best` before.
        """
        self.finish_best()
        if self._on_end:
            how = End.FAILED if self.error or code in (1, 2) else End.ENDED
            if code and how is not End.FAILED:
                how = End.INTERRUPTED
            outcome = _describe_end(self._plan, how, code, self.error)
            if why := self._run(self._on_end, outcome, self._limit_s):
                self._warn(self._note("--on-end", why))

    def finish_best(self) -> None:
        """Waits for the command that was told of a best trial. No process must end, or become
        another one, before: the command would have no limit of time any more.
        """
        if self._best:
            if not self._best.finish():
                self._warn("note: the command of --on-best can't be ended, and is left behind.")
            self._report()

    def _report(self) -> None:
        for why in self._best.failures() if self._best else ():
            self._warn(self._note("--on-best", why))

    def _run(self, command: str, outcome: SearchOutcome, limit_s: float) -> str | None:
        directory = self._plan.directory
        log = directory / LOG if (directory / MANIFEST).exists() else None
        return run_command(command, outcome, log, self._environment, limit_s)

    def _note(self, flag: str, why: str) -> str:
        log = self._plan.directory / LOG
        seen = f"; see {log}" if log.is_file() else ""
        return f"note: the command of {flag} failed: {why}{seen}. The search isn't concerned."


class BestWatch(Observer):
    """Calls `tell` with the record of each trial that ends better than all trials of the `study`
    that ended before, and `tick` with each tick of its own.
    """

    def __init__(
        self,
        study: Study[TrialConfig],
        tell: Callable[[TrialRecord], object],
        tick: Callable[[], object],
    ) -> None:
        self._tell, self._tick = tell, tick
        self._highest = max(map(_value, study.records.values()), default=-1.0)

    def __str__(self) -> str:
        return "--on-best"

    def ended(self, record: TrainingRecord) -> None:
        """Tells of a trial that has ended as the best one."""
        if isinstance(record, TrialRecord) and _value(record) > self._highest:
            self._highest = _value(record)
            self._tell(record)

    def tick(self) -> None:
        """Reports what the command has failed at since."""
        self._tick()


def _value(record: TrialRecord) -> float:
    """Returns the val_top1 of a trial that has ended, and -1 for one without a result."""
    ended = record.state is not TrialState.RUNNING and record.trusted
    value = record.last_val_top1 if ended else None
    return -1.0 if value is None else value


def _describe_best(plan: Plan, study: Study[TrialConfig], record: TrialRecord) -> SearchOutcome:
    """Returns what is told of a trial that has ended as the best one."""
    first = study.records.get(horizon_of(study.horizons, record.number).first)
    return SearchOutcome(
        event=Happening.BEST,
        trials=len(study.records),
        trials_planned=study.trials,
        best=Best.of(record, baseline=record is first),
        baseline_val_top1=first.last_val_top1 if first and first.trusted else None,
        **_place(plan),
    )


def _describe_end(plan: Plan, how: End, code: int, error: str | None) -> SearchOutcome:
    """Returns what is told of a search that is over, by its records, as far as there are any."""
    more: dict[str, Any] = {"trials": 0, "trials_planned": plan.options.trials}
    more |= {"best": None, "baseline_val_top1": None}
    try:
        if (plan.directory / MANIFEST).exists():
            more |= _read_standing(plan)
    except Exception as found:  # the command is to know of the end all the same
        error = error or str(found)
    return SearchOutcome(
        event=Happening.END,
        outcome=how,
        exit_code=code,
        error=redacted(error) if error else None,
        best_file=existing(plan.directory / BEST),
        report=existing(plan.directory / REPORT),
        **more,
        **_place(plan),
    )


def _read_standing(plan: Plan) -> dict[str, Any]:
    result = read_result(plan)
    best = result.winner
    like = best.number if best else max(result.trials, default=0)
    first = result.trials.get(horizon_of(plan.horizons, like).first)
    planned = read_manifest(plan.directory)["options"].get("trials", plan.options.trials)
    return {
        "trials": len(result.trials),
        "trials_planned": int(planned),
        "best": Best.of(best, baseline=best is first) if best else None,
        "baseline_val_top1": first.last_val_top1 if first and first.trusted else None,
    }


def _place(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.name,
        "run": str(plan.directory.absolute()),
        "space": plan.options.space,
        "dataset": plan.dataset,
        "resume_command": resume_command(plan.directory),
    }

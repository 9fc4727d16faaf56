"""Rounds, waves and trials of a running search; `tuner` sets it up."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from pathlib import Path
from typing import Any

from exercise_code.hyperparameter_tuning.budget import Budget
from exercise_code.hyperparameter_tuning.outcome import to_event, to_result
from exercise_code.hyperparameter_tuning.plain import plain
from exercise_code.hyperparameter_tuning.progress import Progress
from exercise_code.hyperparameter_tuning.record import TrialLog
from exercise_code.hyperparameter_tuning.scheduler import Scheduler
from exercise_code.hyperparameter_tuning.searcher import Proposal, Result, Searcher, positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.trial import Job, no_outcome, run_isolated, run_trial
from exercise_code.jobs import SharingExecutor


class SearchLoop:
    """State of one run of a search.

    >>> from exercise_code.hyperparameter_tuning.searcher import ListSearcher
    >>> from exercise_code.jobs import executor
    >>> loop = SearchLoop(ListSearcher([{"x": 3}]), None, Budget(), 0, Path("unused"), None, None, Progress(False))
    >>> with executor("serial") as pool:
    ...     loop.use(pool, pool.share(lambda config, context: config["x"]), "serial", None, 1, False)
    ...     print(loop.run(), loop.results[0].value)
    searcher 3.0
    """

    def __init__(
        self,
        searcher: Searcher,
        space: Space | None,
        budget: Budget,
        seed: int,
        folder: Path,
        record: TrialLog | None,
        scheduler: Scheduler | None,
        bar: Progress,
    ):
        self.searcher, self.space, self.budget, self.seed = searcher, space, budget, seed
        self.folder, self.record, self.scheduler, self.bar = folder, record, scheduler, bar
        self.results: list[Result] = []
        self._by_trial: dict[int, Result] = {}
        self._used_epochs = 0
        known = record.finished.values() if record is not None else ()
        self._begin = time.monotonic() - max((event["time"]["elapsed"] for event in known), default=0.0)

    def use(
        self,
        pool: SharingExecutor,
        objective: Any,
        engine: str,
        timeout: float | None,
        threads: int,
        raise_errors: bool,
    ) -> None:
        """Run trials with this executor."""
        self._pool, self._objective, self._raise_errors = pool, objective, raise_errors
        self._call = (run_trial,) if engine == "serial" else (run_isolated,)
        self._extra = () if engine == "serial" else (timeout, threads)

    def run(self) -> str:
        """Run rounds until the searcher or the budget ends; return why."""
        while proposals := self._checked(self.searcher.ask()):
            allowed = len(proposals)
            if self.budget.trials is not None:
                allowed = min(allowed, self.budget.trials - len(self.results))
            told: list[Result] = []
            for wave in self._waves(proposals[:allowed]):
                within = self._within_epochs(wave)
                if self.record is not None:
                    self.record.expect([_known(proposal) for proposal in within])
                ran = self._run_wave(within)
                told += ran
                if len(ran) < len(wave):
                    return self._end("seconds" if len(ran) < len(within) else "epochs")
            if allowed < len(proposals):
                return self._end("trials")
            self.searcher.tell(told)
        return self._end("searcher")

    @property
    def _late(self) -> bool:
        return self.budget.seconds is not None and self._elapsed() >= self.budget.seconds

    def _elapsed(self) -> float:
        return time.monotonic() - self._begin

    def _end(self, reason: str) -> str:
        if self.record is None:
            return reason
        if self.record.end is None:
            used = {"trials": len(self.results), "epochs": self._used_epochs}
            self.record.finish(
                {"event": "end", "reason": reason, **used, "time": {"elapsed": round(self._elapsed(), 3)}}
            )
        return str(self.record.end["reason"]) if self.record.end else reason

    def _checked(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        seen = set(self._by_trial)
        for proposal in proposals:
            if proposal.trial in seen:
                raise ValueError(f"{type(self.searcher).__name__} proposed trial {proposal.trial} twice")
            seen.add(proposal.trial)
            positive_int("epochs", proposal.epochs)
            if proposal.resume_from is not None and proposal.resume_from not in self._by_trial:
                raise ValueError(
                    f"trial {proposal.trial} cannot resume trial {proposal.resume_from}: it has not been told yet"
                )
            if self.space is not None:
                self.space.check(proposal.config)
        return list(proposals)

    def _waves(self, proposals: list[Proposal]) -> Iterator[list[Proposal]]:
        size = len(proposals) if self.scheduler is None else self.scheduler.wave
        for start in range(0, len(proposals), max(1, size)):
            yield proposals[start : start + size]

    def _within_epochs(self, wave: list[Proposal]) -> list[Proposal]:
        """The first proposals that fit into the budget of epochs."""
        if self.budget.epochs is None:
            return wave
        planned = self._used_epochs
        for i, proposal in enumerate(wave):
            planned += proposal.epochs - self._resumed_epochs(proposal)
            if planned > self.budget.epochs:
                return wave[:i]
        return wave

    def _resumed_epochs(self, proposal: Proposal) -> int:
        return 0 if proposal.resume_from is None else self._by_trial[proposal.resume_from].epochs

    def _run_wave(self, wave: list[Proposal]) -> list[Result]:
        """Run what is not in the log yet; results in the order of the proposals, up to the first that was not begun."""
        limits = self.scheduler.limits(self.results) if self.scheduler is not None else {}
        results: dict[int, Result] = {}
        to_run: list[Proposal] = []
        for proposal in wave:
            event = self.record.finished.get(proposal.trial) if self.record is not None else None
            if event is None:
                to_run.append(proposal)
            else:
                results[proposal.trial] = to_result(event, proposal.config)
        self.bar.resumed(results.values())
        if self.record is None or self.record.end is None:
            self._run_all(to_run, limits, results)
        ordered = [results[proposal.trial] for proposal in wave if proposal.trial in results]
        self.results += ordered
        self._by_trial |= {result.trial: result for result in ordered}
        self._used_epochs += sum(result.epochs - result.start_epoch for result in ordered)
        return ordered

    def _run_all(self, proposals: list[Proposal], limits: dict[int, float], results: dict[int, Result]) -> None:
        waiting = list(reversed(proposals))
        running: dict[Future, Proposal] = {}
        # one trial per worker waits in the queue, so that none is idle; not when the clock decides what may begin
        at_once = self._pool.workers * (1 if self.budget.seconds is not None else 2)
        while waiting or running:
            while waiting and len(running) < at_once and not self._late:
                proposal = waiting.pop()
                running[self._pool.submit(*self._call, self._objective, self._job(proposal, limits), *self._extra)] = (
                    proposal
                )
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                proposal = running.pop(future)
                result = self._result(proposal, future)
                if self.record is not None:
                    self.record.add(to_event(result, proposal.resume_from, self._elapsed()))
                results[proposal.trial] = result
                self.bar.finished(result)

    def _job(self, proposal: Proposal, limits: dict[int, float]) -> Job:
        return Job(
            proposal.trial,
            proposal.config,
            proposal.epochs,
            self.seed,
            str(self.folder),
            proposal.resume_from,
            self._resumed_epochs(proposal),
            limits,
            self._raise_errors,
        )

    def _result(self, proposal: Proposal, future: Future) -> Result:
        try:
            outcome = future.result()
        except CancelledError as error:  # dask's answer when its scheduler is gone
            raise ConnectionError(
                f"the engine dropped trial {proposal.trial}: has the scheduler ended? What was finished is in the log, if "
                "there is one, and the same call resumes it"
            ) from error
        except ConnectionError as error:
            error.add_note("What was finished is in the log, if there is one, and the same call resumes it.")
            raise
        except Exception as error:
            if type(error).__name__ != "KilledWorker":  # dask: several workers in a row died of this trial
                raise
            outcome = no_outcome(self._job(proposal, {}), "crashed", "several dask workers died while they ran it")
        return Result(
            proposal.trial,
            proposal.config,
            outcome.epochs,
            outcome.value,
            outcome.status,
            outcome.detail,
            dict(outcome.metrics),
            outcome.start_epoch,
            outcome.curve,
            outcome.seconds,
        )


def _known(proposal: Proposal) -> dict[str, Any]:
    """What the log must say of a trial, whatever came of it."""
    return {"trial": proposal.trial, "config": plain(proposal.config), "resume_from": proposal.resume_from}

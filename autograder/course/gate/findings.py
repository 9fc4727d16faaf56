"""What the gate reports: findings, each of one check of one exercise, with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

QUICK = ("structure", "released", "catalogue")
SLOW = ("solved", "unsolved", "one open")
COURSE = "the course"  # stands for the exercise where a finding belongs to none


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: `check` is one of QUICK or SLOW, `problem` says what, `remedy` what to do."""

    exercise: str
    check: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.exercise}, {self.check}: {self.problem}" + (f". {self.remedy}" if self.remedy else "")


@dataclass
class Outcome:
    """What became of one exercise; `figures` holds a few words per check that ran, such as "15/15 in 21 s"."""

    exercise: str
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def problems(self, check: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.check == check]


def one_line(text: str, limit: int = 400) -> str:
    """Put a message on one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def last_line(text: str) -> str:
    """Return the last line with something in it: of a traceback, the error."""
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"

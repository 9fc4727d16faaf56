"""An Atom feed of who takes the lead, and of boards that became final (RFC 4287)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import NAMESPACE_URL, uuid5

from leaderboard.pages import template
from leaderboard.ranking import Board, hundredths
from leaderboard.schema import Scores
from leaderboard.text import percent

MOST_ITEMS = 50
BEGINNING = "1970-01-01T00:00:00Z"  # a feed needs a time, and without results there is none


@dataclass(frozen=True)
class Item:
    """One entry; `updated` is RFC 3339, days without a time are midnight UTC."""

    title: str
    text: str
    id: str
    updated: str
    href: str


@dataclass(frozen=True)
class Feed:
    id: str
    updated: str
    items: tuple[Item, ...]


def feed(scores: Scores, boards: Sequence[Board]) -> bytes:
    """`feed.xml`, newest first. Ids are made of what an entry says, so a reader never sees one twice."""
    course = f"{scores.course.name}/{scores.course.term}"
    items = [item for one in boards for item in _items(course, one)]
    items.sort(key=lambda item: (item.updated, item.id), reverse=True)
    updated = scores.generated_at.isoformat().replace("+00:00", "Z") if scores.generated_at else BEGINNING
    made = Feed(_id(course), updated, tuple(items[:MOST_ITEMS]))
    return template("feed.xml").render(scores=scores, feed=made).encode()


def _items(course: str, one: Board) -> list[Item]:
    exercise = one.exercise
    name, href = f"{exercise.id[:2]} {exercise.title}", f"{exercise.id}.html"
    items = []
    for moment, user, count in one.records:
        score = percent(hundredths(count, exercise.public))
        text = f"{user} takes the lead of {name} with {score} on the public part."
        key = f"{course}/{exercise.id}/{user}/{count}/{moment}"
        items.append(Item(f"{name}: {user} leads with {score}", text, _id(key), _midnight(moment), href))
    if exercise.phase == "final" and one.best:
        best = percent(one.best.hundredths)
        text = f"{one.passed} of {len(one.rows)} passed; the best score is {best}."
        key = f"{course}/{exercise.id}/final/{exercise.shown}"
        due = _midnight(exercise.due.date())
        items.append(Item(f"{name}: final", text, _id(key), due, href))
    return items


def _midnight(moment: date) -> str:
    return f"{moment.isoformat()}T00:00:00Z"


def _id(key: str) -> str:
    return f"urn:uuid:{uuid5(NAMESPACE_URL, key)}"

"""4e: who somebody is, and what their names do to those who look."""

import csv
import json
import re

import pytest

from autograder.errors import SubmissionError
from autograder.intake.roster import Student, load_roster
from autograder.records.export import export_grades, safe_cell
from autograder.records.publish import publish

BAD_IDS = [
    "<script>alert(1)</script>",
    "x onerror=alert(1)",
    "javascript:alert(1)",
    "a\x1b[31m",
    "\u202eabc",
    "ab\u200bc",
    "\u0430nna",  # a Cyrillic a
    "../../etc",
    "a' OR 1=1 --",
    "A1234",
    "-rf",
]


@pytest.mark.attack(52, 53, verdict="refused by the roster; unknown in a drop")
@pytest.mark.parametrize("bad", BAD_IDS)
def test_only_a_plain_id_is_an_id(house, tmp_path, bad):
    path = tmp_path / "roster.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("student_id", "name"), (bad, "Name")])
    with pytest.raises(SubmissionError, match="line 2: student_id"):
        load_roster(path)
    house.hand_in("honest")
    if "/" not in bad:
        (house.drop / f"{bad}.zip").write_bytes(b"PK")
        outcomes = {row.outcome: row for row in house.collect().rows}
        assert "unknown" in outcomes and outcomes["unknown"].student.isprintable()
    house.grade()


@pytest.mark.attack(52, 56, verdict="no page shows an id, a name, a time of day or anything a student wrote")
def test_nothing_that_a_student_chose_reaches_the_page(house, tools):
    evil = "<img src=x onerror=alert(1)>"
    claim = {"schema": 1, "exercise": house.exercise.id, "claimed": {}, "package_version": evil, "data": evil}
    for number in range(3):
        house.hand_in(f"student {number}", submission__json=json.dumps(claim).encode())
    house.hand_in("broken", b"<script>")
    house.grade()
    site = house.root / "site"
    publish(house.course, house.course_dir, house.root / "roster.csv", site)
    pages = b"".join(path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file())
    assert b"onerror" not in pages and b"<img" not in pages and evil.encode() not in pages
    for student in house.students.values():
        assert not re.search(rb"(?<!\w)" + student.encode() + rb"(?!\w)", pages)
        assert f"Name {student}".encode() not in pages
    assert house.rows("honest")[0].received_at[11:19].encode() not in pages  # the day, not the second
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert "default-src 'none'" in text
        assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    house.unharmed()


@pytest.mark.attack(54, verdict="an apostrophe before what a spreadsheet would run")
def test_no_cell_of_the_grades_is_a_formula(house, tmp_path):
    roster = {i: Student(i, name) for i, name in (("s001", '=HYPERLINK("http://x")'), ("s002", "@SUM(A1)"))}
    house.hand_in("honest")
    house.grade()
    out = tmp_path / "grades.csv"
    export_grades(house.course, house.course_dir, roster, out)
    with out.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) or cell.startswith(("\t", "\r")) for cell in cells)
    assert '\'=HYPERLINK("http://x")' in cells
    assert safe_cell("\t=1") == "'\t=1" and safe_cell("plain, with comma") == "plain, with comma"


@pytest.mark.attack(55, verdict="SCORED for the owner of the drop")
def test_the_owner_is_who_dropped_it_and_nobody_named_inside(house, tools):
    victim = house.student("victim")
    claim = {"schema": 1, "exercise": house.exercise.id, "claimed": {}, "student_id": victim, "user": victim}
    house.hand_in("mallory", submission__json=json.dumps(claim).encode())
    (house.drop / f"{victim}.zip.txt").write_bytes(b"not mine")
    house.grade()
    assert house.verdict("mallory") == f"SCORED({tools.HONEST})" and house.rows("victim") == []


@pytest.mark.attack(57, verdict="unknown: only the roster has students")
def test_a_second_identity_is_nobody(house):
    house.hand_in("honest")
    (house.drop / "sockpuppet.zip").write_bytes(house.hand_in("honest"))
    report = house.collect()
    assert {row.student: row.outcome for row in report.rows}["'sockpuppet'"] == "unknown"
    assert not list((house.course_dir / "store").rglob("sockpuppet*"))
    house.grade()

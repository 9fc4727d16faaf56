"""What a scores.json may hold, and that each refusal is one line that names the place."""

import json
import re
from pathlib import Path

import pytest

from leaderboard import reading
from leaderboard.reading import load, parse
from leaderboard.schema import LeaderboardError, plain_line

ENTRY = "exercises[0].entries[0]"


def refusal(scores):
    raw = scores if isinstance(scores, bytes) else json.dumps(scores).encode()
    with pytest.raises(LeaderboardError) as caught:
        parse(raw)
    message = str(caught.value)
    assert "\n" not in message and message.isascii()
    assert message.startswith("scores.json: ")
    assert "expected" in message and "got" in message and "export it again" in message
    return message


def test_a_realistic_file_is_read_with_its_values(class_of_twelve):
    scores = parse(json.dumps(class_of_twelve).encode())
    assert scores.course.term == "2026w"
    assert len(scores.exercises[0].entries) == 12
    assert scores.exercises[0].entries[0].correct == 6184
    assert scores.exercises[0].due.utcoffset().total_seconds() == 3600


def test_the_example_in_the_readme_is_valid():
    readme = Path(__file__).parents[2] / "leaderboard" / "README.md"
    example = re.search(r"```json\n(.*?)```", readme.read_text(encoding="utf-8"), re.S).group(1)
    assert len(parse(example.encode()).exercises[0].entries) == 2


def test_no_exercises_no_entries_and_no_results_yet_are_valid(make_exercise, make_scores):
    assert parse(json.dumps(make_scores(generated_at=None)).encode()).exercises == ()
    empty = make_scores(make_exercise([], hidden_set=None))
    assert parse(json.dumps(empty).encode()).exercises[0].hidden_set is None


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("correct", 10_001, "exercises[0]"),
        ("correct", -1, f"{ENTRY}.correct"),
        ("correct", 1.0, f"{ENTRY}.correct"),
        ("correct", True, f"{ENTRY}.correct"),
        ("correct", "5", f"{ENTRY}.correct"),
        ("correct", None, f"{ENTRY}.correct"),
        ("correct", 10**400, f"{ENTRY}.correct"),
        ("total", 0, f"{ENTRY}.total"),
        ("total", 9_999, "exercises[0]"),
        ("public_correct", -1, f"{ENTRY}.public_correct"),
        ("against_leader", [1], f"{ENTRY}.against_leader[1]"),
        ("against_leader", [1, -1], f"{ENTRY}.against_leader[1]"),
        ("before", {"correct": 1}, f"{ENTRY}.before.gained"),
        ("before", {"correct": 6_000, "gained": 1, "lost": 2}, "exercises[0]"),
        ("submissions", 0, f"{ENTRY}.submissions"),
        ("received_day", "2026-12-01T10:00:00Z", f"{ENTRY}.received_day"),
        ("received_day", "2026-02-30", f"{ENTRY}.received_day"),
        ("received_day", 20261201, f"{ENTRY}.received_day"),
        ("received_order", -1, f"{ENTRY}.received_order"),
        ("sandboxed", 1, f"{ENTRY}.sandboxed"),
        ("flags", ["duplicate"], f"{ENTRY}.flags"),
        ("user", "anna", f"{ENTRY}.user"),
        ("user", "u123", f"{ENTRY}.user"),
        ("user", "u1234\n", f"{ENTRY}.user"),
        ("user", "U1234", f"{ENTRY}.user"),
        ("user", "u\u0661\u0662\u0663\u0664", f"{ENTRY}.user"),
        ("user", "u1234<script>", f"{ENTRY}.user"),
        ("user", "\u202eu1234", f"{ENTRY}.user"),
        ("user", "=1+1", f"{ENTRY}.user"),
        ("email", "a@example.org", f"{ENTRY}.email"),
    ],
)
def test_an_entry_with_a_bad_value_is_refused_at_its_place(class_of_twelve, field, value, place):
    class_of_twelve["exercises"][0]["entries"][0][field] = value
    assert f": {place}: " in refusal(class_of_twelve)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../etc"),
        ("id", "index"),
        ("id", "04_Grid"),
        ("title", ""),
        ("title", "   "),
        ("title", "x" * 201),
        ("title", 4),
        ("due", "2026-12-16T15:59:59"),
        ("due", "2026-12-16"),
        ("due", "2026-13-16T15:59:59Z"),
        ("due", 1_797_433_199),
        ("pass_percent", 101),
        ("pass_percent", 48.5),
        ("hidden_set", None),
        ("hidden_set", {"version": "v", "size": 10_000, "source": "c", "standin": False, "classes": 1, "split": False}),
        ("entries", {}),
        ("phase", "later"),
        ("rank_model", "<b>"),
        ("pareto", 1),
        ("histories", {"anna": []}),
        ("histories", {"u0100": [{"day": "2026-12-01"}]}),
        ("baselines", [{"name": "<b>"}]),
    ],
)
def test_an_exercise_with_a_bad_value_is_refused(class_of_twelve, field, value):
    class_of_twelve["exercises"][0][field] = value
    assert "exercises[0]" in refusal(class_of_twelve)


@pytest.mark.parametrize("value", ["2026-12-16T14:57:12+01:00", "2026-12-16T14:57:12", "yesterday", 0])
def test_generated_at_that_is_not_utc_is_refused(class_of_twelve, value):
    class_of_twelve["generated_at"] = value
    assert "generated_at" in refusal(class_of_twelve)


def test_a_missing_field_is_named(class_of_twelve):
    del class_of_twelve["exercises"][0]["entries"][3]["sandboxed"]
    assert "exercises[0].entries[3].sandboxed: expected this field" in refusal(class_of_twelve)


def test_further_problems_are_counted(class_of_twelve):
    for entry in class_of_twelve["exercises"][0]["entries"][:3]:
        entry["submissions"] = 0
    assert "(and 2 more)" in refusal(class_of_twelve)


def test_a_user_who_appears_twice_is_refused(class_of_twelve):
    class_of_twelve["exercises"][0]["entries"][5]["user"] = "u0100"
    assert "u0100 twice" in refusal(class_of_twelve)


def test_an_exercise_that_appears_twice_is_refused(class_of_twelve):
    class_of_twelve["exercises"] *= 2
    assert "04_grid_search twice" in refusal(class_of_twelve)


@pytest.mark.parametrize("version", [0, 1, 3, "2", 2.0, True, None])
def test_another_schema_version_is_refused_before_anything_else(version):
    assert "expected schema 2" in refusal({"schema": version, "surprise": 1})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_are_refused(class_of_twelve, number):
    text = json.dumps(class_of_twelve).replace("6184", number)
    assert f"got {number}" in refusal(text.encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"schema": ' + b"1" * 5_000 + b"}",
        b'{"schema": 2, "schema": 2}',
        b"PK\x03\x04",
    ],
    ids=["empty", "cut", "list", "null", "utf16", "bom", "deep", "digits", "repeated", "zip"],
)
def test_bytes_that_are_not_a_sane_json_object_are_refused(raw):
    refusal(raw)


def test_a_lone_surrogate_is_refused_or_made_visible(class_of_twelve):
    class_of_twelve["exercises"][0]["title"] = "a\ud800b"
    refusal(class_of_twelve)


def test_hostile_keys_and_values_cannot_write_to_the_terminal(class_of_twelve):
    class_of_twelve["\x1b[2J\nname"] = 1
    assert "\x1b" not in refusal(class_of_twelve)


def test_a_file_that_cannot_be_read_is_refused_with_its_name(tmp_path):
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(LeaderboardError, match="expected a readable scores file") as caught:
            load(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Hyper-parameter search", "Hyper-parameter search"),
        ("a\u202egnp.exe", "a\ufffdgnp.exe"),
        ("a\u2066b\u2069", "a\ufffdb\ufffd"),
        ("zero\u200bwidth", "zero\ufffdwidth"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("two\nlines\ttab", "two\ufffdlines\ufffdtab"),
        ("non\ufffecharacter\U0001fffe", "non\ufffdcharacter\ufffd"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("  \u05e9\u05dc\u05d5\u05dd  x ", "\u05e9\u05dc\u05d5\u05dd x"),
    ],
)
def test_text_becomes_one_line_without_invisible_control(text, line):
    assert plain_line(text) == line


def attempt(**changes):
    return {"day": "2026-12-01", "verdict": "scored", "code": "", "stood": 5, "moved": True, "counts": True} | changes


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"verdict": "cheated"}, "verdict"),
        ({"code": "<b>"}, "code"),
        ({"code": "a b"}, "code"),
        ({"stood": 1.5}, "stood"),
        ({"stood": 10_001}, "exercises[0]"),
        ({"day": "2026-12-01T10:00:00"}, "day"),
        ({"detail": "said the student"}, "detail"),
    ],
)
def test_a_history_with_a_bad_value_is_refused(class_of_twelve, change, place):
    class_of_twelve["exercises"][0]["histories"]["u0100"] = [attempt(**change)]
    assert place in refusal(class_of_twelve)


@pytest.mark.parametrize(("phase", "total"), [("public", 5_000), ("final", 5_001)])
def test_the_total_is_that_of_the_half_that_counts(make_entry, make_exercise, make_scores, phase, total):
    for given in (5_000, 5_001, 10_001):
        exercise = make_exercise([make_entry(1, 7, given)], 10_001, phase=phase)
        exercise["hidden_set"]["split"] = True
        if given == total:
            assert parse(json.dumps(make_scores(exercise)).encode()).exercises[0].shown == total
        else:
            assert f"expected total {total}" in refusal(make_scores(exercise))


def test_several_users_may_opt_out(class_of_twelve):
    for entry in class_of_twelve["exercises"][0]["entries"][:3]:
        entry["user"] = None
    assert len(parse(json.dumps(class_of_twelve).encode()).exercises[0].entries) == 12


RECEIVED = '"received_day": "2026-12-05"'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", None),
        ('"schema": 2', '"schema": 2.0', "expected schema 2, got 2.0"),
        ('"schema": 2', '"schema": 2, "schema": 2', "got 'schema' twice"),
        ('"schema": 2', '"schema" : 2, "schema": 2', "got 'schema' twice"),
        ('"schema": 2', '"schema"\n: 2', None),
        ('"term": "', '"term": "\\": ', None),
        ('"term": "', '"term": "1", "term": "\\": ', "got 'term' twice"),
        ('"term": "', '"term": "\\\\": "', "got a syntax error at line 1"),
        ('"term": "', '"term": "\t', "got a syntax error at line 1"),
        ('"term": "', '"term": "\\ud800', "the file: expected JSON, got unexpected end of hex escape"),
        ('"term": "', '"term": "\\x', "got a syntax error at line 1"),
        ('"counts": true', '"counts": false, "counts": true', "got 'counts' twice"),
        ('"counts": true', '"counts": 1', "counts: expected to be a valid boolean, got 1"),
        ('"parameters": 12345', '"parameters": 12345.0', "parameters: expected to be a valid integer, got 12345.0"),
        ('"parameters": 12345', '"parameters": 12345e0', "parameters: expected to be a valid integer, got 12345.0"),
        ('"parameters": 12345', '"parameters": "12345"', "parameters: expected to be a valid integer, got '12345'"),
        ('"parameters": 12345', '"parameters": 012345', "got a syntax error at line 1"),
        ('"parameters": 12345', '"parameters": NaN', "expected finite numbers, got NaN"),
        ('"due": "', '"due": 1797433199, "was": "', "due: expected a time with a zone"),
        ('"against_leader": null', '"against_leader": [1.0, 2]', "against_leader[0]: expected to be a valid integer"),
        ('"before": null', '"before": {}', "before.correct: expected this field, got nothing"),
        ('"before": null', '"before": null, "after": null', "entries[0].after: expected no such field in schema 2"),
        (
            '"received_day": "2026',
            '"received_day": "0026',
            "received_day: expected to be greater than or equal to 2000",
        ),
        (RECEIVED, '"received_day": "1700006400"', f"{ENTRY}.received_day: expected a day like 2026-12-01"),
        (RECEIVED, r'"received_day": "\u0032026-12-05"', None),
        (RECEIVED, r'"received_day": "\u0031700006400"', f"{ENTRY}.received_day: expected a day like 2026-12-01"),
        (RECEIVED, r'"received_d\u0061y": "2026-12-05"', None),
        (RECEIVED, r'"received_d\u0061y": "+1700006400"', f"{ENTRY}.received_day: expected a day like 2026-12-01"),
    ],
)
def test_the_text_is_taken_as_it_stands_or_refused_for_what_is_wrong(class_of_twelve, old, new, problem):
    text = json.dumps(class_of_twelve)
    assert old in text
    raw = text.replace(old, new, 1).encode()
    if problem is None:
        assert parse(raw).exercises[0].entries
    else:
        with pytest.raises(LeaderboardError) as caught:
            parse(raw)
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    "day",
    [
        "1700006400",
        "+1700006400",
        "1700006400000",
        "2026-12-01 ",
        " 2026-12-01",
        "2026-12-01T00:00:00Z",
        "20261201",
        "2026-02-30",
        "",
    ],
)
def test_a_day_is_read_in_one_form_only(class_of_twelve, day):
    class_of_twelve["exercises"][0]["histories"]["u0100"] = [attempt(day=day)]
    assert "day: expected a day like 2026-12-01 without a time" in refusal(class_of_twelve)


def test_a_file_as_it_is_written_is_not_read_twice(class_of_twelve, monkeypatch):
    monkeypatch.setattr(reading, "_plain", None)
    assert parse(json.dumps(class_of_twelve).encode()).exercises[0].entries


def test_a_repeated_key_is_seen_wherever_it_stands(class_of_twelve):
    """In every object in turn the first key is written twice."""
    text = json.dumps(class_of_twelve)
    places = [at for at, char in enumerate(text) if char == "{" and text[at + 1] == '"']
    for at in places[:: max(1, len(places) // 60)]:
        end = text.index(":", at)
        key = text[at + 1 : end]
        with pytest.raises(LeaderboardError, match="twice"):
            parse(f"{text[: at + 1]}{key}: null, {text[at + 1 :]}".encode())

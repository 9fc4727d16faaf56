"""leaderboard.json and the CSV files: the same numbers as the page, and nothing a spreadsheet would run."""

import csv
import io
import json

import pytest

from leaderboard.build import site_files
from leaderboard.reading import parse
from leaderboard.tables import BOARD_COLUMNS, ROW_COLUMNS, safe_cell


def files_of(scores):
    return site_files(parse(json.dumps(scores).encode()), "cd" * 32)


def test_json_holds_what_the_page_shows(class_of_twelve):
    shown = json.loads(files_of(class_of_twelve)["leaderboard.json"])
    assert shown["schema"] == 2 and shown["input_sha256"] == "cd" * 32
    exercise = shown["exercises"][0]
    assert (exercise["participants"], exercise["passed"], exercise["pass_correct"]) == (12, 8, 4_800)
    assert exercise["entries"][8] == {
        "rank": 9,
        "band_first": 8,
        "band_last": 9,
        "user": "u0108",
        "correct": 4_799,
        "total": 10_000,
        "accuracy_percent": 47.99,
        "interval_low_percent": 47.01,
        "interval_high_percent": 48.97,
        "passed": False,
        "parameters": 12_345,
        "model_bytes": 45_678,
        "submissions": 4,
        "last_improvement": "2026-12-13",
        "before_percent": None,
        "gain_points": None,
        "gain_low_points": None,
        "gain_high_points": None,
        "sandboxed": True,
    }


def test_csv_holds_the_same_rows_as_the_json(class_of_twelve):
    files = files_of(class_of_twelve)
    rows = list(csv.DictReader(io.StringIO(files["04_grid_search.csv"].decode(), newline="")))
    entries = json.loads(files["leaderboard.json"])["exercises"][0]["entries"]
    assert [row["user"] for row in rows] == [entry["user"] for entry in entries]
    shown = [entry["accuracy_percent"] for entry in entries]
    assert [float(row["accuracy_percent"]) for row in rows] == shown
    assert [row["passed"] for row in rows] == ["yes"] * 8 + ["no"] * 4
    assert {row["standin"] for row in rows} == {"no"}


def test_csv_of_an_empty_board_is_only_the_header(make_exercise, make_scores):
    content = files_of(make_scores(make_exercise([])))["04_grid_search.csv"]
    assert content.decode() == ",".join([*ROW_COLUMNS, *BOARD_COLUMNS]) + "\r\n"


def test_no_csv_cell_can_start_a_formula(everything):
    for name, content in files_of(everything).items():
        if name.endswith(".csv"):
            rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
            assert all(cell == "" or cell[0].isalnum() for row in rows for cell in row)
            assert len({len(row) for row in rows}) == 1


def test_a_gain_is_given_in_percentage_points_with_its_interval(everything):
    entry = json.loads(files_of(everything)["leaderboard.json"])["exercises"][1]["entries"][0]
    assert (entry["before_percent"], entry["gain_points"]) == (97.8, 1.2)
    assert entry["gain_low_points"] < 1.2 < entry["gain_high_points"]


def test_of_who_opted_out_only_place_and_score_are_given(everything):
    entry = json.loads(files_of(everything)["leaderboard.json"])["exercises"][1]["entries"][3]
    assert (entry["rank"], entry["correct"]) == (4, 4_700)
    hidden = ("user", "parameters", "model_bytes", "submissions", "last_improvement")
    assert [entry[key] for key in hidden] == [None] * 5


def test_baselines_say_whether_they_were_measured(everything):
    lines = json.loads(files_of(everything)["leaderboard.json"])["exercises"][1]["baselines"]
    assert [(line["name"], line["measured"]) for line in lines] == [
        ("reference", True),
        ("linear", True),
        ("chance", False),
    ]
    assert lines[2]["accuracy_percent"] == 10.0 and lines[2]["interval_low_percent"] is None


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "=HYPERLINK(1)",
        "|calc",
        "%0A",
        "\uff1d1",
        "\u00a0=1",
    ],
)
def test_text_that_starts_like_a_formula_gets_an_apostrophe(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "cell"),
    [("u1234", "u1234"), ("", ""), (-3, "-3"), (47.9, "47.90"), (True, "yes")],
)
def test_other_values_are_written_plainly(value, cell):
    assert safe_cell(value) == cell

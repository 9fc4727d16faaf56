"""Nothing of the hidden labels in any bundle, notebook, site, log, database or sandbox: searched by content."""

import base64
import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autograder import __main__ as cli

TOY = Path(__file__).resolve().parents[1] / "autograder" / "toy_course"


def selectors_work():
    """Whether soupsieve, which nbconvert's pages need, runs here: with the regular expressions of Python 3.11.2 it does not."""
    import soupsieve

    try:
        soupsieve.compile("input")
    except soupsieve.SelectorSyntaxError:
        return False
    return True


@pytest.mark.attack(19, 20, 26, verdict="found nowhere but in their own file")
def test_after_a_whole_term_the_labels_are_in_one_file_only(house, box, tools, tmp_path, monkeypatch, capfd):
    root = tmp_path / "toy"
    shutil.copytree(TOY, root)
    manifest = root / "solutions" / "course.toml"
    text = manifest.read_text().replace("input = [3, 4, 4]", "input = [1, 2, 4]").replace("classes = 2", "classes = 4")
    manifest.write_text(text.replace("max_parameters = 1000", "max_parameters = 2000"))
    course_dir, drop, roster, site = root / ".course", tmp_path / "drop", tmp_path / "roster.csv", tmp_path / "site"
    monkeypatch.chdir(root)
    shutil.copytree(house.hidden, course_dir / "hidden" / "02_main")
    meta = json.loads((course_dir / "hidden/02_main/meta.json").read_text())
    (course_dir / "hidden/02_main/meta.json").write_text(json.dumps(meta | {"exercise": "02_main"}))
    common = ["--course", str(manifest), "--course-dir", str(course_dir)]

    def run(*words):
        assert cli.main([*words, *common]) == 0

    for exercise in ("01_warm_up", "02_main"):
        run("release", exercise)
    with roster.open("w", newline="") as file:
        csv.writer(file).writerows([("student_id", "name"), ("anna", "Anna Bauer"), ("ben", "Ben Costa")])
    notebook = json.loads((root / "exercises/02_main/02_main.ipynb").read_bytes())
    spy = "import glob\nfor p in glob.glob('/course/**/*', recursive=True): print(p)\nprint(open('/proc/self/mountinfo').read())"
    notebook["cells"].insert(1, {"cell_type": "code", "execution_count": None, "id": "spy", "metadata": {}, "outputs": [], "source": spy})  # fmt: skip
    drop.mkdir()
    for student in ("anna", "ben"):
        files = house.files(student)
        claim = {"schema": 1, "exercise": "02_main", "claimed": {}}
        files = {"02_main.ipynb": json.dumps(notebook).encode(), "model.onnx": files["model.onnx"], "submission.json": json.dumps(claim).encode()}  # fmt: skip
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for name, data in files.items():
                target.writestr(name, data)
        (drop / f"{student}.zip").write_bytes(buffer.getvalue())
    run(
        "collect", "02_main", "--drop", str(drop), "--roster", str(roster), "--received-at", "2026-11-30T10:00:00+01:00"
    )
    run("score", "02_main", "--quiet")
    run("autograde", "02_main", "--quiet")
    run("publish", "--roster", str(roster), "--out", str(site))
    if selectors_work():
        run("feedback", "02_main")
    run("export", "--roster", str(roster), "--out", str(tmp_path / "grades.csv"))
    run("status", "02_main")
    shown = capfd.readouterr()

    secret = course_dir / "hidden" / "02_main" / "labels.npy"
    answers = set(course_dir.glob("predictions/*/*"))  # what the students' own models said, for staff only
    assert len(answers) == 2 and (site / "index.html").is_file() and (course_dir / "gradebook.db").is_file()
    looked_at = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(looked_at) > 60 and any(path.suffix == ".log" for path in looked_at)
    house_labels = house.hidden / "labels.npy"
    assert tools.holding(house.labels, tmp_path, allowed={secret, house_labels, *answers}) == []
    assert not any(needle in (shown.out + shown.err).encode() for needle in tools.encodings(house.labels))
    published = [
        *site.rglob("*"),
        course_dir / "scores.json",
        *(course_dir / "bundles").rglob("*"),
        *(root / "exercises").rglob("*"),
    ]
    for path in published:
        if path.is_file():
            assert np.packbits(house.labels == 0).tobytes()[:12] not in path.read_bytes()
    for path in (secret, *answers):
        assert path.stat().st_mode & 0o077 == 0, f"{path} can be read by others"

    # the search finds what is there: labels put into a notebook, a page and an archive by mistake
    (site / "index.html").write_text(",".join(map(str, house.labels)))
    (root / "exercises/02_main/extra.npy").write_bytes(house.labels.astype("<i4").tobytes())
    picture = io.BytesIO()
    Image.fromarray(house.labels.reshape(20, -1)).save(picture, "PNG")
    (site / "figure.png").write_bytes(picture.getvalue())
    (course_dir / "output.json").write_text(json.dumps({"image/png": base64.b64encode(picture.getvalue()).decode()}))
    with zipfile.ZipFile(course_dir / "bundles" / "02_main.zip", "a", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("oops", house.labels.tobytes())
    found = tools.holding(house.labels, tmp_path, allowed={secret, house_labels, *answers})
    assert {path.name for path in found} == {"index.html", "extra.npy", "02_main.zip", "figure.png", "output.json"}

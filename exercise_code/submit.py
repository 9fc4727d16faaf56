"""Pack a submission: the notebook, the trained models as ONNX and a short description, in one `submission.zip`."""

import importlib
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import exercise_code
from exercise_code.onnx_export import ExportError, count_parameters, export_onnx

FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes


class SubmissionRefused(ValueError):
    """Something is missing or wrong; the message lists everything at once."""


def submit(
    exercise: str,
    models: Mapping[str, Any] | None = None,
    claimed: Mapping[str, float] | None = None,
    *,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    transform: Any = None,
    data: str = "",
    notebook: str | Path | None = None,
    out: str | Path = "submission.zip",
) -> Path:
    """Export the models, check them, and write the zip to hand in.

    The file `exercise.json` beside the notebook, where it is, says which models are expected and how large they may be.
    Some exercises hand in no model: `submit("01_sigmoid")` packs the notebook alone.

    Args:
        exercise: id such as "04_grid_search".
        models: file name -> trained network, for example `{"model.onnx": best_model}`.
        claimed: file name -> the accuracy (fraction 0 to 1) you measured on validation data.
        input_shape: (C, H, W) of an image.
        transform: the transform of your validation images; it becomes part of the model file.
        data: label of the data you trained on, as `Source.label` gives it.
        notebook: the saved notebook; None means `<exercise>.ipynb` in the current folder, or in `exercises/<exercise>/`
            below it.  On Colab, where the notebook that is open is no file of the machine, its content is fetched first.
        out: the zip to write.

    Returns:
        The path of the zip.

    Raises:
        SubmissionRefused: lists all problems; nothing is written then.

    >>> from exercise_code.networks import ClassificationNet
    >>> submit("04_grid_search", {"model.onnx": None}, {"model.onnx": 0.5}, notebook="04_grid_search.ipynb")
    Traceback (most recent call last):
    ...
    exercise_code.submit.SubmissionRefused: nothing was written, because
    - the notebook 04_grid_search.ipynb is not there: save it, or pass notebook= with its path
    - model.onnx: the model is None: train it first
    """
    models, claimed = models or {}, claimed or {}
    notebook = _find_notebook(exercise) if notebook is None else Path(notebook)
    problems, open_tasks = _notebook_problems(notebook, exercise)
    problems += _model_problems(models, claimed)
    contract = _contract(notebook.parent, exercise)
    files: dict[str, bytes] = {}
    out = Path(out)
    for name, model in models.items():
        if model is None:
            continue
        temporary = out.parent / f".{name}.export"
        try:
            files[name] = export_onnx(model, temporary, input_shape=input_shape, transform=transform).read_bytes()
        except ExportError as error:
            problems.append(f"{name}: {error}")
        finally:
            temporary.unlink(missing_ok=True)
    if contract is not None:
        problems += _contract_problems(contract, files, models, input_shape)
    if problems:
        raise SubmissionRefused("nothing was written, because\n- " + "\n- ".join(problems))
    description = {
        "schema": 1,
        "exercise": exercise,
        "claimed": {name: float(value) for name, value in claimed.items()},
        "package_version": exercise_code.__version__,
        "data": data,
    }
    files[f"{exercise}.ipynb"] = notebook.read_bytes()
    files["submission.json"] = (json.dumps(description, indent=1, sort_keys=True) + "\n").encode()
    write_zip(out, files)
    size = out.stat().st_size / 1e6
    print(f"Wrote {out} ({size:.1f} MB) with {', '.join(sorted(files))}. Hand in this one file.")
    if open_tasks:
        print(f"Note: {open_tasks} task cell(s) of the saved notebook are still open and earn no points.")
    return out


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files (name -> bytes) in sorted order with fixed times, by way of a temporary file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = Path(folder, "1.zip"), Path(folder, "2.zip")
    ...     write_zip(first, {"b": b"2", "a": b"1"})
    ...     write_zip(second, {"a": b"1", "b": b"2"})
    ...     first.read_bytes() == second.read_bytes()
    True
    """
    temporary = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    temporary.replace(path)


def _find_notebook(exercise: str) -> Path:
    """Return the path of the saved notebook, whether Jupyter works in its folder or, as VS Code can, in the course's."""
    here, below = Path(f"{exercise}.ipynb"), Path("exercises", exercise, f"{exercise}.ipynb")
    path = below if below.is_file() and not here.is_file() else here
    if "google.colab" in sys.modules:
        _fetch_from_colab(path)
    return path


def _fetch_from_colab(path: Path) -> None:
    """Write the notebook that is open in Colab's browser tab to path; where that fails, say what to do instead."""
    try:
        message = importlib.import_module("google.colab._message")  # Colab offers no public way
        content = message.blocking_request("get_ipynb", timeout_sec=60)["ipynb"]
    except Exception as error:
        raise SubmissionRefused(
            f"nothing was written, because Colab did not hand out the notebook ({type(error).__name__}): use File > Download"
            " > Download .ipynb, upload that file with the folder symbol, and pass its name as notebook="
        ) from None
    path.write_text(json.dumps(content), encoding="utf-8")


def _notebook_problems(notebook: Path, exercise: str) -> tuple[list[str], int]:
    """Return what is wrong with the notebook file, and how many of its task cells still hold the stub."""
    if not notebook.is_file():
        return [f"the notebook {notebook} is not there: save it, or pass notebook= with its path"], 0
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{notebook} is not a notebook: save it again from Jupyter"], 0
    if not code:
        return [f"{notebook} holds no code cell: is this the right file?"], 0
    return [], sum(f'raise NotImplementedError("{exercise}' in source for source in code)


def _model_problems(models: Mapping[str, Any], claimed: Mapping[str, float]) -> list[str]:
    problems = []
    for name, model in models.items():
        if not name.endswith(".onnx") or "/" in name or "\\" in name:
            problems.append(f"model file names end in .onnx and hold no folder, got {name!r}")
        if model is None:
            problems.append(f"{name}: the model is None: train it first")
        value = claimed.get(name)
        if value is None:
            problems.append(f"{name}: claimed accuracy is missing")
        elif not 0 <= float(value) <= 1:
            problems.append(f"{name}: claimed accuracy must be a fraction from 0 to 1, got {value!r}")
    extra = [name for name in claimed if name not in models]
    return problems + [f"claimed accuracy for {name!r}, which is not among the models" for name in extra]


def _contract(folder: Path, exercise: str) -> dict[str, Any] | None:
    path = folder / "exercise.json"
    if not path.is_file():
        return None
    contract = json.loads(path.read_text(encoding="utf-8"))
    return contract if contract.get("exercise") == exercise else None


def _contract_problems(
    contract: Mapping[str, Any],
    files: Mapping[str, bytes],
    models: Mapping[str, Any],
    input_shape: tuple[int, int, int],
) -> list[str]:
    wanted = {model["file"]: model for model in contract["models"]}
    problems = [
        f"{name} is missing: this exercise hands in {', '.join(wanted)}" for name in wanted if name not in models
    ]
    for name in models:
        if name not in wanted:
            expected = f"expected {', '.join(wanted)}" if wanted else "it hands in none, leave models= out"
            problems.append(f"{name!r} is not a model of this exercise: {expected}")
    for name, content in files.items():
        limits = wanted.get(name)
        if limits is None:
            continue
        if list(input_shape) != limits["input"]:
            problems.append(f"{name}: expected input_shape {tuple(limits['input'])}, got {tuple(input_shape)}")
        if len(content) > limits["max_bytes"]:
            problems.append(
                f"{name}: at most {limits['max_bytes']:,} bytes, got {len(content):,}: make the network smaller"
            )
        parameters = count_parameters(content)
        if parameters > limits["max_parameters"]:
            problems.append(
                f"{name}: at most {limits['max_parameters']:,} parameters, got {parameters:,}: make the network smaller"
            )
    return problems

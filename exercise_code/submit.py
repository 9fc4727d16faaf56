"""Pack a submission: the notebook, the trained models as ONNX and a short description, in one `submission.zip`."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import exercise_code
from exercise_code.onnx_export import ExportError, export_onnx

FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes


class SubmissionRefused(ValueError):
    """Something is missing or wrong; the message lists everything at once."""


def submit(
    exercise: str,
    models: Mapping[str, Any],
    claimed: Mapping[str, float],
    *,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    transform: Any = None,
    data: str = "",
    notebook: str | Path | None = None,
    out: str | Path = "submission.zip",
) -> Path:
    """Export the models, check them, and write the zip to hand in.

    Args:
        exercise: id such as "04_grid_search".
        models: file name -> trained network, for example `{"model.onnx": best_model}`.
        claimed: file name -> the accuracy (fraction 0 to 1) you measured on validation data.
        input_shape: (C, H, W) of an image.
        transform: the transform of your validation images; it becomes part of the model file.
        data: label of the data you trained on, as `Source.label` gives it.
        notebook: the saved notebook; None means `<exercise>.ipynb` in the current folder.
        out: the zip to write.

    Returns:
        The path of the zip.

    Raises:
        SubmissionRefused: lists all problems; nothing is written then.
    """
    notebook = Path(f"{exercise}.ipynb") if notebook is None else Path(notebook)
    problems = _problems(notebook, models, claimed)
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
    return out


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files (name -> bytes) in sorted order with fixed times, by way of a temporary file."""
    temporary = path.with_name(f".{path.name}.part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])
    temporary.replace(path)


def _problems(notebook: Path, models: Mapping[str, Any], claimed: Mapping[str, float]) -> list[str]:
    problems = []
    if not notebook.is_file():
        problems.append(f"the notebook {notebook} is not there: save it, or pass notebook= with its path")
    else:
        try:
            cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        except (ValueError, KeyError, TypeError):
            problems.append(f"{notebook} is not a notebook: save it again from Jupyter")
        else:
            if not any(cell.get("cell_type") == "code" for cell in cells):
                problems.append(f"{notebook} holds no code cell: is this the right file?")
    if not models:
        problems.append('no model was given: pass models={"model.onnx": best_model}')
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
    problems += [
        f"claimed accuracy for {name!r}, which is not among the models" for name in claimed if name not in models
    ]
    return problems

"""What a model's weights are, up to what leaves its function as it is; the file is read in a sandbox only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autograder.grading.sandbox import Limits, Mount, Sandbox

VERSION = "1"  # raise it when the same file would get another fingerprint
_HERE = Path(__file__).parent
_INSIDE = "/check/autograder/grading"
_AXIS = 33  # units, then the quantiles of `model_fingerprint_inside`
TOLERANCE = 2e-3  # relative, of every quantile: bfloat16 moves them by less, another training run by ten times as much
_FLAT = 1e-2  # an axis whose units differ by less tells nothing: constants, identities
LIMITS = Limits(
    wall_s=60.0,
    cpu_s=40,
    memory_bytes=1 << 30,
    processes=4,
    file_bytes=1 << 20,
    output_bytes=256_000,
    tmp_bytes=1 << 20,
)


class Fingerprint(BaseModel):
    """What `model_fingerprint_inside` says; it comes from a process that read a stranger's file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    exact: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = "0" * 64
    axes: Annotated[
        list[Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=_AXIS, max_length=_AXIS)]],
        Field(max_length=128),
    ] = []  # noqa: RUF012  (pydantic copies it)

    @property
    def informative(self) -> np.ndarray:
        """float64 (A, 33): the axes whose units differ."""
        axes = np.array(self.axes, dtype=np.float64).reshape(-1, _AXIS)
        return axes[axes[:, -1] - axes[:, 1] > _FLAT * np.abs(axes[:, -1])]


def fingerprint(sandbox: Sandbox, data: bytes) -> Fingerprint | None:
    """The fingerprint of an accepted model file; None when it could not be had (time, memory, nonsense)."""
    with tempfile.TemporaryDirectory(prefix="fingerprint-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # inside it is another user
        (folder / "model.onnx").write_bytes(data)
        (folder / "model.onnx").chmod(0o644)
        files = ("model_fingerprint_inside.py", "model_wire.py")
        done = sandbox.run(
            [sandbox.python, "-I", f"{_INSIDE}/{files[0]}", "/model.onnx"],
            mounts=[
                *(Mount(_HERE / file, f"{_INSIDE}/{file}") for file in files),
                Mount(folder / "model.onnx", "/model.onnx"),
            ],
            limits=LIMITS,
        )
    try:
        return Fingerprint.model_validate_json(done.stdout) if done.reason == "ok" else None
    except ValidationError:
        return None


def shared(fingerprints: list[Fingerprint]) -> dict[tuple[int, int], float]:
    """Pairs of models with axes in common -> the part of the axes of the smaller one that the other has, 0 to 1.

    Equal `exact` is 1.0. Only axes with equally many units whose quantiles all agree within `TOLERANCE` are the same;
    candidates are neighbours in the sorted means, so that a class of 1,000 takes a second.
    """
    same: dict[str, list[int]] = {}
    for i, each in enumerate(fingerprints):
        same.setdefault(each.exact, []).append(i)
    groups = list(same.values())
    found = {(i, j): 1.0 for group in groups for i in group for j in group if i < j}
    for (one, other), share in _alike([fingerprints[group[0]] for group in groups]).items():
        found |= {(min(i, j), max(i, j)): share for i in groups[one] for j in groups[other]}
    return found


def _alike(fingerprints: list[Fingerprint]) -> dict[tuple[int, int], float]:
    """`shared` of models with different numbers."""
    owners = np.concatenate(
        [np.full(len(each.informative), i) for i, each in enumerate(fingerprints)] or [np.empty(0, int)]
    )
    axes = np.concatenate([each.informative for each in fingerprints] or [np.empty((0, _AXIS))])
    key = axes.mean(axis=1)
    order = np.argsort(key, kind="stable")
    ends = np.searchsorted(key[order], key[order] + 2 * TOLERANCE * np.abs(key[order]), side="right")
    matched: dict[tuple[int, int], set[int]] = {}
    for place, end in enumerate(ends):
        near = order[place + 1 : end]
        one = order[place]
        close = np.abs(axes[near] - axes[one]).max(axis=1, initial=0) <= TOLERANCE * np.abs(axes[one]).max()
        close &= (np.abs(axes[near] - axes[one]) <= TOLERANCE * np.abs(axes[one])).all(axis=1)
        for other in near[close & (owners[near] != owners[one])]:
            for mine, theirs in ((one, other), (other, one)):
                matched.setdefault((int(owners[mine]), int(owners[theirs])), set()).add(int(mine))
    counts = np.bincount(owners, minlength=len(fingerprints))
    found = {}
    for (i, j), mine in matched.items():
        if i < j:
            smaller = mine if counts[i] <= counts[j] else matched[j, i]
            found[i, j] = len(smaller) / int(min(counts[i], counts[j]))
    return found

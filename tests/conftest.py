"""One BLAS thread for every test, set before NumPy is imported: small products do not wait for a busy core.

And onnxruntime reports nothing to its maker.
"""

import os

import pytest

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


@pytest.fixture(scope="session")
def box():
    """The sandbox of this machine; tests that need one are skipped where there is none, but not where it is to be."""
    from autograder.errors import SandboxError
    from autograder.grading.sandbox import Sandbox

    try:
        return Sandbox.detect()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no sandbox here: {error}")

"""One BLAS thread for every test, set before NumPy is imported: small products do not wait for a busy core.

And onnxruntime reports nothing to its maker.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

"""Runs INSIDE the sandbox: `python /kernel.py -f connection.json`, Jupyter's Python kernel without what grading never uses.

Left out: the debugger (a third of the time to start) and the history file. Matplotlib's list of fonts, which would be
made anew for every submission, is copied from a read-only folder to where matplotlib looks for it. All of this happens
before the kernel has a connection, so before any code of a student.
"""

import gc
import os
import shutil
import sys


def main() -> None:
    gc.disable()  # while there is nothing but imports
    sys.path.pop(0)  # the folder of this file
    sys.path.append(os.path.dirname(os.environ.pop("KERNEL_FIGURES")))
    fonts, cache = os.environ.pop("KERNEL_FONTS", ""), os.environ.get("MPLCONFIGDIR", "")
    if fonts and cache:
        shutil.copytree(fonts, cache, dirs_exist_ok=True)
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # importing it fails, which ipykernel expects
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance()
    app.initialize(["--HistoryManager.enabled=False", *sys.argv[1:]])
    del sys.modules["debugpy"]
    gc.freeze()  # nothing of this becomes garbage
    gc.enable()
    app.start()


if __name__ == "__main__":
    main()

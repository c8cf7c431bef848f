"""The progress bar in a notebook."""

import subprocess
import sys

import pytest

# A notebook without ipywidgets, as old and new versions of tqdm recognise one.
NOTEBOOK = """
import sys, types
ipython = types.ModuleType("IPython")
ipython.get_ipython = lambda: types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"] = ipython
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
sys.modules["IPython.html"] = sys.modules["ipywidgets"] = None
"""


@pytest.mark.parametrize(
    ("imported", "warned"), [("lightning_leaf.paths.progress", False), ("tqdm.auto", True)]
)
def test_a_notebook_without_widgets_shows_no_warning(imported, warned):
    program = f"{NOTEBOOK}\nimport {imported}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("TqdmWarning" in done.stderr) is warned

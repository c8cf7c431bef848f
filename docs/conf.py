"""Sphinx configuration: ``python -m sphinx -W -b html docs docs/_build/html``."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

# The tutorials run in kernels that inherit this environment.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MATPLOTLIBRC"] = str(DOCS / "_ext" / "matplotlibrc")

project = "lightning-leaf"
author = "The lightning-leaf authors"
copyright = "the lightning-leaf authors, Apache-2.0"
release = installed_version("lightning-leaf")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "command_help",
    "drawings",
    "mathml",
    "supported",
]
exclude_patterns = ["_build", "_generated", "jupyter_execute", "README.md"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist", "substitution"]
myst_heading_anchors = 4

nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # for one cell; machines may be busy
# Progress bars and messages of other libraries are not part of a page.
nb_output_stderr = "remove"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = "lightning-leaf"
html_static_path = ["_static"]
html_css_files = ["leaf.css"]
html_copy_source = False
html_show_sphinx = False

"""Sphinx configuration of the API page. ``make api`` builds it; warnings are errors."""

project = "prostate-seg"
author = "the prostate-seg developers"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "prostate-seg"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
nitpicky = False

"""How Sphinx builds the documentation; nothing is loaded from elsewhere."""

import pydoc
from pathlib import Path

import dask_distill

ROOT = Path(__file__).parent.parent

project = "dask_distill"
author = "The dask_distill developers"
copyright = "the dask_distill developers"
version = release = dask_distill.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "README.md"]
templates_path = ["_templates"]
default_role = "py:obj"
nitpicky = True
# single backticks in docstrings also name other libraries
nitpick_ignore_regex = [("py:.*", r"(dask|datasets|distributed|sklearn)(\..*)?")]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "dask_distill"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "dask_distill"},
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"tutorial": [], "conversation": [], "paper": [], "glossary": []}

# pages that are files of the repository: the text, and where its links lead
REPOSITORY_PAGES = {
    "about/measurements": (
        "benchmarks/README.md",
        {
            "(quality/README.md)": "(quality.md)",
            "[simulation.csv](simulation.csv)": "{download}`../../benchmarks/simulation.csv`",
            "(simulation.png)": "(../../benchmarks/simulation.png)",
            "(kcenter_growth.svg)": "(../../benchmarks/kcenter_growth.svg)",
        },
    ),
    "about/quality": (
        "benchmarks/quality/README.md",
        {
            "(summary.md)": "(quality-tables.md)",
            "(../README.md)": "(measurements.md)",
            "(summary-full.md)": "(quality-full.md)",
            "(large.md)": "(quality-large.md)",
            "(mixed.md)": "(quality-mixed.md)",
            "(summary-strategies.md)": "(quality-strategies.md)",
            "(picture.png)": "(../../benchmarks/quality/picture.png)",
            "(large.png)": "(../../benchmarks/quality/large.png)",
            "(strategies.png)": "(../../benchmarks/quality/strategies.png)",
        },
    ),
    "about/quality-tables": ("benchmarks/quality/summary.md", {}),
    "about/quality-full": ("benchmarks/quality/summary-full.md", {}),
    "about/quality-large": ("benchmarks/quality/large.md", {}),
    "about/quality-mixed": ("benchmarks/quality/mixed.md", {}),
    "about/quality-strategies": ("benchmarks/quality/summary-strategies.md", {}),
    "about/contributing": ("CONTRIBUTING.md", {}),
    "about/changelog": ("CHANGELOG.md", {}),
}


def read_from_repository(app, docname, source):
    """Fill a page with a file of the repository, below the line that is there."""
    if docname not in REPOSITORY_PAGES:
        return
    file, links = REPOSITORY_PAGES[docname]
    app.env.note_dependency(str(ROOT / file))
    text = (ROOT / file).read_text(encoding="utf-8")
    for link, page in links.items():
        text = text.replace(link, page)
    source[0] += text


def find_short_name(app, env, node, contnode):
    """Resolve `distill` or `Coreset.to_zarr` from any module: the outermost object of that name.

    What has no page stays a word, if it exists; a plain name may be an attribute.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    wanted = node["reftarget"]
    names = [name for name in domain.objects if name.endswith("." + wanted)]
    if not names:
        return contnode if wanted.isidentifier() or pydoc.locate(wanted) else None
    name = min(names, key=lambda name: (name.count("."), name))
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
    )


def drop_nameless_arguments(app, ctx, lines):
    """Leave out arguments without a name: they catch what belongs to an option."""
    for place, line in enumerate(lines):
        if line.strip() == ".. option::":
            end = next(
                (i for i in range(place + 1, len(lines)) if lines[i].startswith("..")), len(lines)
            )
            del lines[place:end]
            return


def setup(app):
    app.connect("source-read", read_from_repository)
    app.connect("missing-reference", find_short_name)
    app.connect("sphinx-click-process-arguments", drop_nameless_arguments)

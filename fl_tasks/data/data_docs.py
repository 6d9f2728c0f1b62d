"""Great Expectations' own Data Docs, as pages that stay at the agency and fetch nothing from outside.

The pages as built load styles, scripts and a counted logo from hosts of other people. Here they lose all of that, and
a content security policy forbids a browser whatever might be left; a small style of our own stands in. The index, whose
tables only those scripts make, is written here.
"""

from __future__ import annotations

import html
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fl_tasks.contracts.base import make_private_folder, write_atomic

if TYPE_CHECKING:
    from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext

_SITE = "agency"

_OUTSIDE = re.compile(
    r"""<script\b.*?</script\s*>"""  # inline ones too: without their libraries they only fail
    r"""|<(?:link|img)\b[^>]*>"""
    r"""|<iframe\b.*?</iframe\s*>"""
    r"""|<footer\b.*?</footer\s*>"""  # a newsletter
    r"""|@import[^;]*;"""
    r"""|@font-face\s*\{[^}]*\}"""
    r"""|url\(\s*['"]?(?:https?:)?//[^)]*\)""",
    re.DOTALL | re.IGNORECASE,
)

_POLICY = """<head>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""

# Last in the head, so that it stands over the pages' own.
_STYLE = """<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; color: #222; }
body { padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; width: 100%; }
td, th { border-bottom: 1px solid #ddd; padding: .35rem .6rem; text-align: left; vertical-align: top; }
.col-12, .container-fluid { padding: 0 !important; }
h4, h5, h6 { margin: .8rem 0 .2rem; } ul, ol { padding-left: 1.2rem; }
a[data-toggle], .btn-group, .card.mb-3 { display: none; }
.fa-check-circle::before { content: "\\2713"; color: #187a3d; }
.fa-times::before { content: "\\2717"; color: #b3261e; }
.fa-exclamation-triangle::before { content: "\\26A0"; color: #8a5a00; }
</style>
</head>"""


def build(context: AbstractDataContext, folder: Path, passed: dict[str, bool]) -> None:
    """Render the suites and validation results that a context holds; a folder that is there is replaced.

    Args:
        context: With results in its store.
        passed: Suite -> whether all of it passed, warnings too.
        folder: Gets index.html, expectations/ and validations/; folders 0700, files 0600.
    """
    make_private_folder(folder.parent)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))  # 0700
    try:
        site: Any = {  # its type in Great Expectations lacks the buttons that its own default has
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(fresh / "site")},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
        for other in tuple(context.list_data_docs_sites()):
            context.delete_data_docs_site(other)
        context.add_data_docs_site(_SITE, site)
        context.build_data_docs(site_names=[_SITE], build_index=False)
        pages = sorted((fresh / "site").rglob("*.html"))
        for page in pages:
            target = fresh / "clean" / page.relative_to(fresh / "site")
            write_atomic(target, clean(page.read_text(encoding="utf-8")).encode())
        results = {page.relative_to(fresh / "site").parts[1]: page for page in pages if "validations" in page.parts}
        links = {suite: results[suite].relative_to(fresh / "site").as_posix() for suite in passed}
        write_atomic(fresh / "clean" / "index.html", _index(links, passed).encode())
        for inner in (fresh / "clean", *(fresh / "clean").rglob("*/")):
            inner.chmod(0o700)
        if folder.exists():
            shutil.rmtree(folder)
        (fresh / "clean").rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def clean(page: str) -> str:
    """Return a page without anything that a browser would run, or fetch from another host."""
    return _OUTSIDE.sub("", page).replace("<head>", _POLICY, 1).replace("</head>", _STYLE, 1)


def _index(links: dict[str, str], passed: dict[str, bool]) -> str:
    rows = "".join(
        f'<tr><td><a href="{html.escape(quote(links[suite]))}">{html.escape(suite)}</a></td>'
        f"<td>{'passed' if passed[suite] else 'failed'}</td>"
        f'<td><a href="expectations/{html.escape(quote(suite))}.html">what it expects</a></td></tr>\n'
        for suite in links
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n{_POLICY}\n<meta charset="UTF-8">\n<title>Data checks</title>\n{_STYLE}\n'
        "<body>\n<h4>Data checks of this run</h4>\n<p>Of this agency alone: these pages must not leave it.</p>\n"
        f"<table>\n{rows}</table>\n</body>\n</html>\n"
    )

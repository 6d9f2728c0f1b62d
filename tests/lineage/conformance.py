"""Holds events against the OpenLineage JSON schemas in spec/, and our own facets against theirs."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import fl_airflow
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource

SPEC = Path(__file__).with_name("spec")
OWN = Path(fl_airflow.__file__).parent / "lineage" / "facets.json"
CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"

# Facet -> the file that says what it holds. The core asks the same of all others.
FACETS = {
    "schema": "SchemaDatasetFacet",
    "columnLineage": "ColumnLineageDatasetFacet",
    "dataQualityAssertions": "DataQualityAssertionsDatasetFacet",
    "dataSource": "DatasourceDatasetFacet",
    "version": "DatasetVersionDatasetFacet",
    "errorMessage": "ErrorMessageRunFacet",
}
OWN_FACETS = {"huiliu_run": "FederatedRunFacet", "huiliu_model": "ModelDatasetFacet"}


def faults(event: dict) -> list[str]:
    """Return what is wrong with an event, each with its place."""
    found = [_said(error) for error in validator(f"{CORE}#/$defs/RunEvent").iter_errors(event)]
    for name, facet in facets_of(event):
        if name in FACETS:
            found += [f"{name}: {_said(error)}" for error in validator(_url(FACETS[name])).iter_errors(facet)]
        if name in OWN_FACETS:
            url = f"{_load(OWN)['$id']}#/$defs/{OWN_FACETS[name]}"
            found += [f"{name}: {_said(error)}" for error in validator(url).iter_errors(facet)]
            if facet.get("_schemaURL") != url:
                found.append(f"{name}: _schemaURL is not {url}")
    return found


def facets_of(event: dict) -> list[tuple[str, dict]]:
    """Return every facet of an event by name."""
    holders = [event["run"].get("facets"), event["job"].get("facets")]
    for dataset in [*event.get("inputs", ()), *event.get("outputs", ())]:
        holders += [dataset.get(kind) for kind in ("facets", "inputFacets", "outputFacets")]
    return [facet for holder in holders for facet in (holder or {}).items()]


@cache
def validator(url: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": url}, registry=_registry(), format_checker=FormatChecker())


def _url(name: str) -> str:
    return f"{_load(SPEC / f'{name}.json')['$id']}#/$defs/{name}"


@cache
def _registry() -> Registry:
    core = Resource.from_contents(_load(SPEC / "OpenLineage.json"))

    def retrieve(uri: str) -> Resource:
        # Facets name the core that was current when they were published; no rule of it has changed for them.
        if re.fullmatch(r"https://openlineage\.io/spec/\d-\d-\d/OpenLineage\.json", uri):
            return core
        raise NoSuchResource(uri)

    files = [*SPEC.glob("*.json"), OWN]
    return Registry(retrieve=retrieve).with_resources(
        (contents["$id"], Resource.from_contents(contents)) for contents in map(_load, files)
    )


def _load(path: Path) -> dict:
    return json.loads(path.read_text())


def _said(error) -> str:
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"

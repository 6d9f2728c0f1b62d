"""standardize: turn de-identified rows into what the model sees, on the agreed scale. Leaves features.npy."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from fl_tasks.contracts.base import sha256_file
from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.data import deidentified_path, deidentified_record_path, features_path, preparation_path
from fl_tasks.contracts.errors import MissingInput
from fl_tasks.contracts.preparation import Preparation
from fl_tasks.contracts.stage import StageResult, StageSpec
from fl_tasks.contracts.table_config import TableConfig
from fl_tasks.data.small_cells import publishable
from fl_tasks.data.tables.examples import save_array
from fl_tasks.data.tables.features import encode, encode_pictures
from fl_tasks.data.tables.table import Table, read_table
from fl_tasks.stages.lineage import as_input, facts_of, of_run
from fl_tasks.stages.reuse import Reads, digests
from fl_tasks.stages.tables import lineage
from fl_tasks.stages.tables.anonymize import checked_record, deidentified_columns, row_counts
from fl_tasks.stages.tables.hierarchies import hierarchies_folder, hierarchy_digests, load_hierarchies
from fl_tasks.stages.tables.ingest import declared_of

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Encode the rows of deidentified.parquet, in their order.

    Raises:
        MissingInput: If anonymize has not run.
        ConfigError: If the schema or the hierarchies here do not give the features that were agreed on.
        InputError: If deidentified.parquet is not what anonymize left.
    """
    config = load_scenario(spec.federation, spec.scenario).table
    path, features = deidentified_path(spec.folder), features_path(spec.folder)
    table = read_table(path)
    record = checked_record(spec)
    x = _encoded(spec, config, table)
    save_array(features, x)
    told = publishable({"rows": len(table)}) if row_counts(record) else {}
    counts = told | {"features": int(np.prod(x.shape[1:]))}
    log.info("stage=standardize agency=%s rows=%s", spec.agency, counts.get("rows"))
    before = deidentified_columns(spec, declared_of(spec), record)
    return StageResult(
        stage="standardize",
        status="done",
        counts=counts,
        digests={"features": sha256_file(features)},
        inputs=(of_run(spec, path.name, as_input(before)),),
        outputs=(of_run(spec, features.name, facts_of(lineage.features(config))),),
    )


def reads(spec: StageSpec) -> Reads:
    """Return what the features follow from."""
    config = load_scenario(spec.federation, spec.scenario).table
    files = (path(spec.folder) for path in (deidentified_path, deidentified_record_path, preparation_path))
    hierarchies = hierarchy_digests(hierarchies_folder(spec.federation, spec.scenario), config)
    return Reads({**digests(files), "hierarchies": hierarchies}, (features_path(spec.folder),))


def read_preparation(spec: StageSpec) -> Preparation:
    """Return what anonymize applied in this run; raises MissingInput."""
    try:
        return Preparation.model_validate_json(preparation_path(spec.folder).read_bytes())
    except FileNotFoundError:
        raise MissingInput("preparation.json of this run is not there yet; run anonymize first") from None


def _encoded(spec: StageSpec, config: TableConfig, table: Table) -> NDArray[np.float32]:
    if config.image is not None:
        return encode_pictures(table, config)
    hierarchies = load_hierarchies(hierarchies_folder(spec.federation, spec.scenario), config)
    return encode(table, config, read_preparation(spec), hierarchies)

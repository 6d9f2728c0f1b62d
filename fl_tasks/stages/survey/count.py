"""count (step 1 of a survey): look at every recoding with the agency's own rows, sum its numbers, mask and upload."""

from __future__ import annotations

import logging
from pathlib import Path

from fl_tasks.anonymize.nodes import count_nodes, table_cells
from fl_tasks.contracts.base import sha256_file, sha256_hex
from fl_tasks.contracts.data import raw_path
from fl_tasks.contracts.stage import DatasetRef, StageResult, StageSpec
from fl_tasks.contracts.survey import SurveyRequest
from fl_tasks.contracts.table_config import TableColumn, TableConfig
from fl_tasks.data.tables.sums import sum_column
from fl_tasks.data.tables.table import read_table
from fl_tasks.secagg import names
from fl_tasks.secagg.errors import SurveyMismatch
from fl_tasks.secagg.masking import Ring
from fl_tasks.secagg.sums import encode_integers
from fl_tasks.stages.context import Desk, accept_close, exchange_refs, open_member
from fl_tasks.stages.survey.published import REQUEST
from fl_tasks.stages.survey.request import own_hierarchies, own_request

log = logging.getLogger(__name__)


def run(spec: StageSpec) -> StageResult:
    """Send the masked sums of what ingest left; a second call sends the same bytes.

    Raises:
        SurveyMismatch: If the round is not of the request that this agency's own configuration gives.
        ValueNotCovered: If a value is not in its column's hierarchy.
        DifferencingRefused: If this survey was answered for this data interval with other rows.
        MissingInput: If ingest of this run has left nothing (yet).
    """
    with open_member(spec) as (desk, member):
        closed = accept_close(desk, member)

        def answer(request: bytes) -> Ring:
            member.bind_rows(request, bytes.fromhex(sha256_file(_raw(spec))))
            return _answer(desk, request)

        outbox = member.upload(closed, desk.round, desk.exchange.get(names.model(desk.round)), answer)
        desk.send(outbox)
        data = outbox[names.upload(desk.round, str(spec.agency))]
    digest = sha256_hex(data)
    log.info("stage=count agency=%s bytes=%d sha256=%s", spec.agency, len(data), digest)
    raw = DatasetRef(namespace=f"agency:{spec.agency}", name=f"runs/{spec.prepared_run_id}/{_raw(spec).name}")
    return StageResult(
        stage="count",
        status="done",
        digests={"upload": digest},
        inputs=(raw, *exchange_refs(REQUEST)),
        outputs=exchange_refs(*outbox),
    )


def _answer(desk: Desk, named: bytes) -> Ring:
    """Count and encode; runs only if nothing of this round was sent before."""
    hierarchies = own_hierarchies(desk.spec.federation, desk.config)
    request = own_request(desk.config, hierarchies)
    check_named(request, named)
    table = read_table(_raw(desk.spec), _counted(desk.config.table))
    numbers = [len(table)]
    if request.policy is not None:
        cells, _ = table_cells(table.columns, desk.config.table, hierarchies)
        numbers += count_nodes(cells, tuple(hierarchies.values()), request.policy)
    for column in request.numeric:
        numbers += sum_column(table.columns[column.column], column).numbers
    return encode_integers(numbers, request.limbs, desk.setting.n)


def check_named(request: SurveyRequest, named: bytes) -> None:
    """Check that the round is of the own request: another name for it would forget which sums were given."""
    if request.sha256 != named:
        raise SurveyMismatch("the survey's round is of another request than the signed one: nothing was summed")


def _counted(config: TableConfig) -> list[TableColumn]:
    """The columns that the numbers are of; no direct identifier and no key is read."""
    judged = config.judged if config.privacy else ()
    return [c for c in config.columns if c.role == "quasi_identifier" or c in judged or c.scaled]


def _raw(spec: StageSpec) -> Path:
    """What ingest left in the retraining that the survey is of."""
    return raw_path(spec.places.agency_run(str(spec.agency), spec.prepared_run_id))

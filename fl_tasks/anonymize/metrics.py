"""What a release was measured to reach; counted from its rows, whatever made it.

Sources: k, Sweeney 2002, https://doi.org/10.1142/S0218488502001648; l and t as in diversity.py; discernibility, Bayardo
and Agrawal 2005, https://doi.org/10.1109/ICDE.2005.42; prosecutor's risk, El Emam and Dankar 2008,
https://doi.org/10.1197/jamia.M2716.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fl_tasks.anonymize.cells import SensitiveColumn
from fl_tasks.anonymize.diversity import Spread, distance, distinct, entropy, spread
from fl_tasks.anonymize.errors import PolicyUnreachable
from fl_tasks.anonymize.release import Release
from fl_tasks.contracts.anonymize import PrivacyPolicy, PrivacyReport


def measure(
    release: Release, sensitive: Sequence[SensitiveColumn], policy: PrivacyPolicy, *, sha256: str
) -> PrivacyReport:
    """Measure a release and bind the figures to its data.

    Args:
        release: Of n rows.
        sensitive: The sensitive columns of the same n rows, suppressed ones included; they do not count.
        policy: What was asked for; the report says what is missed (PrivacyReport.short_of).
        sha256: Of the file that holds the released rows.

    Raises:
        PolicyUnreachable: If every row is suppressed.
    """
    rows = len(release.class_of_row)
    kept = release.kept
    size = np.bincount(release.class_of_row[kept], minlength=len(release.loss))
    released = int(size.sum())
    if not released:
        raise PolicyUnreachable(f"all {rows} rows are suppressed; nothing can be released")
    suppressed = rows - released
    spreads = [_spread(release, column, size) for column in sensitive]
    return PrivacyReport(
        method=release.method,
        quasi_identifiers=tuple(column.name for column in release.columns),
        sensitive=tuple(column.name for column in sensitive),
        levels=release.levels,
        policy=policy,
        rows_in=rows,
        suppressed=suppressed,
        classes=len(size),
        k=int(size.min()),
        l=min((int(distinct(pairs).min()) for pairs in spreads), default=None),
        l_entropy=min((max(float(entropy(pairs).min()), 1.0) for pairs in spreads), default=None),
        t=max((min(float(distance(pairs, pairs.overall()).max()), 1.0) for pairs in spreads), default=None),
        ncp=min((float(size @ release.loss) + suppressed) / rows, 1.0),
        discernibility=int((size.astype(object) ** 2).sum()) + suppressed * rows,
        risk_max=1.0 / int(size.min()),
        risk_average=len(size) / released,
        sha256=sha256,
    )


def _spread(release: Release, column: SensitiveColumn, size: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Spread:
    kept = release.kept
    codes = column.codes[kept]
    return spread(release.class_of_row[kept], codes, np.ones(len(codes), dtype=np.int32), size, column)

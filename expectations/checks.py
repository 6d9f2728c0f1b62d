"""What the suites of all kinds of data share: how severe a check is, and what must not be left in any column."""

# Great Expectations imports its expectations into this module without marking them as exported.
# mypy: disable-error-code="attr-defined"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from great_expectations.expectations import core as gxe
from great_expectations.expectations.expectation import Expectation

VOLUME = (0.5, 2.0)
"""Values a day, over those of the last accepted month: beyond is noted."""

# A column name that says who somebody is.
_IDENTIFYING = (
    r"(?i)(?<![a-z])(?:plates?|phone|mobile|telephone|passport|e-?mail|resident.?id|id.?card|ssn|address|"
    r"social.?credit.?code|(?:first|last|full|sur)[ _-]?name)(?![a-z])"
    r"|姓名|身份证|手机|电话|车牌|号牌|住址|地址|信用代码"
)


def left_in_columns(kinds: Sequence[str], only: str, remedy: str) -> list[Expectation]:
    """Return the checks of frame `columns`: nothing that points at a person is left after anonymize.

    Args:
        kinds: Kinds of column that may be there.
        only: The same in words.
        remedy: What to do with a column that is none of them.
    """
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="kind", value_set=list(kinds), **critical("leakage", f"{only}; {remedy}")
        ),
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="unhashed",
            regex=_IDENTIFYING,
            **critical("leakage_name", f"no column named like an identifier; {remedy}"),
        ),
        gxe.ExpectColumnValuesToBeNull(
            column="identifier",
            **critical("no_identifier_left", f"no identifier in any text or number; {remedy}"),
        ),
        gxe.ExpectColumnValuesToBeNull(
            column="suspicious",
            **warning("suspicious_text", "no text of an identifier's form, be its check digit wrong"),
        ),
    ]


def critical(check: str, needs: str) -> dict[str, Any]:
    """Return what makes an expectation one that leaves the agency out."""
    return {"severity": "critical", "meta": {"check": check, "needs": needs}}


def warning(check: str, needs: str) -> dict[str, Any]:
    """Return what makes an expectation one that is noted."""
    return {"severity": "warning", "meta": {"check": check, "needs": needs}}

"""Made-up persons with what the offices' files hold of them: names, resident ids, mobile numbers, addresses, notes.

Nothing of it belongs to anybody on purpose. The ids pass every check that real ones pass (GB 11643: division, date,
sequence number odd for men, ISO 7064 MOD 11-2), so that de-identification has real work.
Faker is imported when persons are made, not where a scenario is only read.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence

IDENTIFYING = ("name", "resident_id", "mobile", "address", "note")
"""The columns that persons bring into a generated file; real files of the same scenario have none of them."""

_FULL_WIDTH = {ord(sign): ord(sign) + 0xFEE0 for sign in "0123456789X"}
_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))
_CHECKS = "10X98765432"


class Persons:
    """Draws persons; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        from faker import Faker  # noqa: PLC0415

        self._fake = Faker("zh_CN")
        self._fake.seed_instance(seed)
        self._draw = random.Random(seed)  # noqa: S311 - made-up people, no secret

    def columns(
        self, male: Sequence[bool], ages: Sequence[int], *, today: dt.date, divisions: Sequence[str]
    ) -> dict[str, list[str]]:
        """Return the identifying columns of n persons.

        Args:
            male: Of each person.
            ages: Whole years of each on the day of the delivery; below 0 counts as 0.
            today: That day.
            divisions: Codes of six digits (GB/T 2260) in which they were first registered.
        """
        rows = [self._person(man, age, today, divisions) for man, age in zip(male, ages, strict=True)]
        return dict(zip(IDENTIFYING, (list(column) for column in zip(*rows, strict=True)), strict=True))

    def _person(self, man: bool, age: int, today: dt.date, divisions: Sequence[str]) -> tuple[str, str, str, str, str]:
        name = self._fake.name_male() if man else self._fake.name_female()
        # Up to 364 days before the birthday that makes the age: never before the next one.
        born = today.replace(year=today.year - max(age, 0), day=min(today.day, 28))
        born -= dt.timedelta(days=self._draw.randrange(364))
        number = resident_id(self._draw.choice(divisions), born, 2 * self._draw.randrange(500) + man)
        mobile = self._fake.phone_number()
        return name, number, mobile, self._fake.address().replace("\n", " "), self._note(name, number, mobile)

    def _note(self, name: str, number: str, mobile: str) -> str:
        """Return what a clerk typed: mostly nothing, else with an id or a number in one of the ways they are typed."""
        return self._draw.choices(
            [
                "",
                f"{name} 本人到场,证件齐全",
                f"申请人身份证 {number},已核对",
                f"补录证件号:{number.translate(_FULL_WIDTH)}",
                f"代办人{name},电话 {mobile[:3]}-{mobile[3:7]}-{mobile[7:]}",
                f"电话{mobile.translate(_FULL_WIDTH)}无人接听,待回访",
                f"证件 {number[:6]} {number[6:14]} {number[14:]} 与户口簿一致",
            ],
            weights=[60, 10, 8, 6, 6, 5, 5],
        )[0]


def resident_id(division: str, born: dt.date, sequence: int) -> str:
    """Return an id of 18 places with its check digit.

    Args:
        division: Six digits, GB/T 2260.
        born: Date of birth.
        sequence: From 0 to 999, odd for men.

    Source: GB 11643-1999, ISO 7064 MOD 11-2
    """
    front = f"{division}{born:%Y%m%d}{sequence:03d}"
    total = sum(int(digit) * weight for digit, weight in zip(front, _WEIGHTS, strict=True))
    return front + _CHECKS[total % 11]

"""Made-up identifiers with right check digits, and the standards' rules row by row: the oracle of fl_tasks' rules.

Nothing of fl_tasks is used here. Check digits are computed the way the standards print them, sign by sign.
"""

from __future__ import annotations

import datetime as dt
import random

PROVINCES = tuple(
    str(number)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for number in range(first, last + 1)
)
PLATE_PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
PLATE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
CREDIT_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
CREDIT_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)  # GB 32100-2015, table 4
_THIRDS = {3: "0123456789", 4: "56789", 5: "012356789", 6: "2567", 7: "012345678", 8: "0123456789", 9: "012356789"}
MOBILE_SEGMENTS = tuple(f"1{second}{third}" for second, thirds in _THIRDS.items() for third in thirds)


def resident_check(seventeen: str) -> str:
    """ISO 7064 MOD 11-2 as the pure system's recursion: add, double, modulo 11."""
    value = 0
    for digit in seventeen:
        value = (value + int(digit)) * 2 % 11
    value = (12 - value) % 11
    return "X" if value == 10 else str(value)


def is_resident_id(text: str) -> bool:
    if len(text) != 18 or not all(sign in "0123456789" for sign in text[:17]):
        return False
    if text[:2] not in PROVINCES and not (text[0] == "9" and text[1:3] in PROVINCES):
        return False
    try:
        born = dt.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    return 1800 <= born.year < 2100 and text[17] == resident_check(text[:17])


def credit_check(seventeen: str) -> str:
    total = sum(CREDIT_SIGNS.index(sign) * weight for sign, weight in zip(seventeen, CREDIT_WEIGHTS, strict=True))
    return CREDIT_SIGNS[(31 - total % 31) % 31]


def organisation_check(eight: str) -> str:
    """GB 11714-1997: 11 less the weighted sum modulo 11; 10 is X and 11 is 0."""
    signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    total = sum(signs.index(sign) * weight for sign, weight in zip(eight, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return {10: "X", 11: "0"}.get(11 - total % 11, str(11 - total % 11))


class Fakes:
    """Draws identifiers that nobody has been given on purpose, though some may be somebody's."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def digits(self, number: int) -> str:
        return "".join(self.draw.choices("0123456789", k=number))

    def birthday(self, first: int = 1900, last: int = 2025) -> dt.date:
        start, end = dt.date(first, 1, 1).toordinal(), dt.date(last, 12, 31).toordinal()
        return dt.date.fromordinal(self.draw.randint(start, end))

    def resident_id(self) -> str:
        front = f"{self.draw.choice(PROVINCES)}{self.digits(4)}{self.birthday():%Y%m%d}{self.digits(3)}"
        return front + resident_check(front)

    def old_resident_id(self) -> str:
        place, born = f"{self.draw.choice(PROVINCES)}{self.digits(4)}", self.birthday(1900, 1999)
        return f"{place}{born:%y%m%d}{self.draw.randint(0, 995):03}"

    def mobile(self) -> str:
        return self.draw.choice(MOBILE_SEGMENTS) + self.digits(8)

    def plate(self) -> str:
        place = self.draw.choice(PLATE_PROVINCES) + self.draw.choice(PLATE_LETTERS)
        energy, letter = self.draw.choice("DFABCEGHJK"), self.draw.choice(PLATE_LETTERS)
        numbers = (
            self.digits(5),
            letter + self.digits(4),
            self.digits(2) + letter + self.digits(2),
            self.digits(4) + self.draw.choice("挂学警港澳领"),
            energy + self.digits(5),
            energy + letter + self.digits(4),
            self.digits(5) + energy,
        )
        return place + self.draw.choice(numbers)

    def credit_code(self) -> str:
        kind = self.draw.choice(("11", "12", "51", "52", "91", "92", "93", "A1", "N2", "Y1"))
        organisation = "".join(self.draw.choices(CREDIT_SIGNS, k=8))
        front = kind + self.draw.choice(PROVINCES) + self.digits(4) + organisation + organisation_check(organisation)
        return front + credit_check(front)

    def of(self, kind: str) -> str:
        return getattr(self, kind)()

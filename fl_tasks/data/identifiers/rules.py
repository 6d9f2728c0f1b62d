"""The standards' rules, each on many candidates at once: matrices of codes in, one answer a row out.

Sources: GB 11643-1999 (resident id, ISO 7064 MOD 11-2), GB 32100-2015 with its amendment (unified social credit code,
MOD 31), GB 11714-1997 (organisation code, its places 9 to 17), GA 36-2018 (plates), ISO/IEC 7812 (Luhn), the Ministry
of Industry and Information Technology's list of mobile segments as of March 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fl_tasks.data.identifiers.codes import ALPHABET, DIGITS, PROVINCES, SPECIAL

Matrix = NDArray[np.uint8]
Answer = NDArray[np.bool_]

_X = ALPHABET.index("X")


def _flags(size: int, *places: int) -> Answer:
    flags = np.zeros(size, dtype=bool)
    flags[list(places)] = True
    return flags


def _signs(signs: str) -> Answer:
    return _flags(256, *(ALPHABET.index(sign) for sign in signs))


# GB/T 2260; 83 stands for residents from Taiwan.
_DIVISIONS = _flags(
    100,
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
    *(71, 81, 82, 83),
)

_RESIDENT_WEIGHTS = np.array([pow(2, 17 - place, 11) for place in range(17)], dtype=np.float32)
_RESIDENT_CHECKS = np.array([ALPHABET.index(sign) for sign in "10X98765432"], dtype=np.uint8)
_CENTENARIANS = 996  # sequence numbers that the 15 digits kept for those born before 1900


def resident_id(ids: Matrix) -> tuple[Answer, Answer]:
    """Judge resident ids of 18 places.

    Args:
        ids: Shape (n, 18), codes.

    Returns:
        Which have the form (digits, province, a date of the calendar from 1800 to 2099), and which of them a right
        check digit. A 9 and two digits of the province begin the ids of permanent residents from abroad.
    """
    digits = (ids[:, :17] < DIGITS).all(axis=1) & ((ids[:, 17] < DIGITS) | (ids[:, 17] == _X))
    here = _DIVISIONS[_number(ids[:, 0:2])] | ((ids[:, 0] == 9) & _DIVISIONS[_number(ids[:, 1:3])])
    year = _number(ids[:, 6:10])
    form = digits & here & (year >= 1800) & (year < 2100) & _on_calendar(year, ids[:, 10:14])
    total = ids[:, :17].astype(np.float32) @ _RESIDENT_WEIGHTS  # whole numbers below 2**24: exact
    return form, form & (ids[:, 17] == _RESIDENT_CHECKS[total.astype(np.int64) % 11])


def resident_id_15(ids: Matrix) -> Answer:
    """Say which of (n, 15) codes have the form of a resident id before 1999: province, two digits of the year, date."""
    year = _born_before_1999(ids)
    return (ids < DIGITS).all(axis=1) & _DIVISIONS[_number(ids[:, 0:2])] & _on_calendar(year, ids[:, 8:12])


def upgraded(ids: Matrix) -> Matrix:
    """Return resident ids of 15 places, shape (n, 15), as the 18 places of today: century and check digit added."""
    century = (_born_before_1999(ids) // 100)[:, None]
    long = np.concatenate((ids[:, :6], century // 10, century % 10, ids[:, 6:]), axis=1)
    total = (long.astype(np.float32) @ _RESIDENT_WEIGHTS).astype(np.int64)
    return np.concatenate((long, _RESIDENT_CHECKS[total % 11][:, None]), axis=1).astype(np.uint8)


# Without 144 and the like, which are for machines alone and have 13 digits; of 161 only 1619, satellite telephones.
_SEGMENTS = _flags(
    200,
    *range(130, 140),
    *range(145, 150),
    *(number for number in range(150, 160) if number != 154),
    *(161, 162, 165, 166, 167),
    *range(170, 179),
    *range(180, 190),
    *(number for number in range(190, 200) if number != 194),
)


def mobile(numbers: Matrix) -> tuple[Answer, Answer]:
    """Say which of (n, 11) codes have the form of a mobile number (1, then 3 to 9), and which of them a known segment.

    A number whose segment is not known has the form all the same: segments are added every few years.
    """
    form = (numbers < DIGITS).all(axis=1) & (numbers[:, 0] == 1) & (numbers[:, 1] >= 3)
    segment = np.where(form, _number(numbers[:, :3]), 0)
    return form, form & _SEGMENTS[segment] & ((segment != 161) | (numbers[:, 3] == 9))


_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_CODES = np.array([ALPHABET.index(sign) for sign in _CREDIT_ALPHABET], dtype=np.uint8)
_CREDIT_VALUES = np.full(256, 255, dtype=np.uint8)
_CREDIT_VALUES[_CREDIT_CODES] = np.arange(31)
_CREDIT_WEIGHTS = np.array([pow(3, place, 31) for place in range(17)], dtype=np.float32)
# Registering department -> its classes of institutions.
_CLASSES = {
    "1": "1239",
    "2": "19",
    "3": "123459",
    "4": "19",
    "5": "1239",
    "6": "129",
    "7": "129",
    "8": "19",
    "9": "123",
    "A": "19",
    "N": "1239",
    "Y": "1",
}
_CLASS = np.zeros((256, 256), dtype=bool)
for _department, _classes in _CLASSES.items():
    _CLASS[ALPHABET.index(_department), [int(one) for one in _classes]] = True
_CREDIT_DIVISIONS = _DIVISIONS | _flags(100, 10)  # 10 stands for the whole country
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2], dtype=np.float32)


def credit_code(codes: Matrix) -> tuple[Answer, Answer, Answer]:
    """Judge unified social credit codes.

    Args:
        codes: Shape (n, 18), codes.

    Returns:
        Which have the form (department and class, division, no I O Z S V), which of them a right check sign, and
        which of those a right check sign of the organisation code inside, too.
    """
    values = _CREDIT_VALUES[codes]
    form = (values < 31).all(axis=1) & _CLASS[codes[:, 0], codes[:, 1]] & (codes[:, 2:8] < DIGITS).all(axis=1)
    form &= _CREDIT_DIVISIONS[_number(codes[:, 2:4])]
    total = (values[:, :17].astype(np.float32) @ _CREDIT_WEIGHTS).astype(np.int64)
    right = form & (values[:, 17] == -total % 31)
    inner = -(codes[:, 8:16].astype(np.float32) @ _ORGANISATION_WEIGHTS).astype(np.int64) % 11
    return form, right, right & (codes[:, 16] == np.where(inner == 10, _X, inner))


_PROVINCE = _signs(PROVINCES)
_LETTER = _signs("ABCDEFGHJKLMNPQRSTUVWXYZ")  # without I and O
_DIGIT = _signs("0123456789")
_SERIAL = _DIGIT | _LETTER
_ENERGY = _signs("ABCDEFGHJK")  # D, A, B, C, E: electric; F, G, H, J, K: others
_SPECIAL = _signs(SPECIAL)
_EMBASSY = ALPHABET.index("使")


def plate(plates: Matrix) -> NDArray[np.int64]:
    """Say how many places of each candidate are a plate: 0, 7, or 8 with new energy.

    Province, letter, and five places of which three are digits, or four and a sign of use (trailer, school, police,
    Hong Kong, Macao, consulate); with new energy six, its kind before five places (small vehicles) or behind five
    digits (large ones); embassies have six digits.

    Args:
        plates: Shape (n, 8), codes; behind a shorter text anything.
    """
    digit, serial = _DIGIT[plates], _SERIAL[plates]
    place = _PROVINCE[plates[:, 0]] & _LETTER[plates[:, 1]]
    small = _ENERGY[plates[:, 2]] & serial[:, 3] & digit[:, 4:8].all(axis=1)
    large = digit[:, 2:7].all(axis=1) & _ENERGY[plates[:, 7]]
    ordinary = serial[:, 2:7].all(axis=1) & (digit[:, 2:7].sum(axis=1) >= 3)
    special = serial[:, 2:6].all(axis=1) & (digit[:, 2:6].sum(axis=1) >= 2) & _SPECIAL[plates[:, 6]]
    embassy = (plates[:, 0] == _EMBASSY) & digit[:, 1:7].all(axis=1)
    return np.select([place & (small | large), (place & (ordinary | special)) | embassy], [8, 7], default=0)


def may_be_plate(codes: Matrix) -> Answer:
    """Say of each place of a flat array, but the last, whether a plate may start there."""
    places = (_PROVINCE[codes[:-1]] & _LETTER[codes[1:]]) | ((codes[:-1] == _EMBASSY) & (codes[1:] < DIGITS))
    return np.asarray(places, dtype=bool)


def bank_card(cards: Matrix) -> Answer:
    """Say which of (n, 16 to 19) codes are a bank card: digits, a payment scheme's first one, a right Luhn digit."""
    form = (cards < DIGITS).all(axis=1) & (
        (_number(cards[:, :2]) == 62) | (cards[:, 0] == 4) | ((cards[:, 0] == 5) & (cards[:, 1] > 0))
    )
    doubled = cards[:, -2::-2].astype(np.int64) * 2
    total = cards[:, -1::-2].astype(np.int64).sum(axis=1) + (doubled - 9 * (doubled > 9)).sum(axis=1)
    return np.asarray(form & (total % 10 == 0), dtype=bool)


def _number(digits: Matrix) -> NDArray[np.int64]:
    """Return codes of digits, shape (n, w), as numbers; 0 where one is no digit."""
    number = np.zeros(len(digits), dtype=np.int64)
    for column in digits.T:
        number = number * 10 + column
    number[(digits >= DIGITS).any(axis=1)] = 0
    return number


def _born_before_1999(ids: Matrix) -> NDArray[np.int64]:
    century = np.where(_number(ids[:, 12:15]) >= _CENTENARIANS, 1800, 1900)
    return century + _number(ids[:, 6:8])


_MONTHS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def _on_calendar(year: NDArray[np.int64], date: Matrix) -> Answer:
    """Say which years and (n, 4) codes of month and day are a date."""
    month, day = _number(date[:, :2]), _number(date[:, 2:])
    known = np.where(month <= 12, month, 0)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return np.asarray((day >= 1) & (day <= _MONTHS[known] + (leap & (known == 2))), dtype=bool)

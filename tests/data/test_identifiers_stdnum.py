"""Resident ids and credit codes: python-stdnum, written by others from the same standards, gives the same answers."""

from __future__ import annotations

import random

from stdnum import exceptions
from stdnum.cn import ric, uscc

from fl_tasks.data.identifiers import Check, check
from tests.data.identifier_fakes import CREDIT_SIGNS, Fakes


def verdict(module, number):
    """VALID, WRONG_CHECKSUM or MALFORMED, as stdnum says; a check digit that it refuses first stands alone only if
    nothing else is wrong."""
    try:
        module.validate(number)
    except exceptions.InvalidChecksum:
        try:
            module.validate(number[:17] + module.calc_check_digit(number))
        except exceptions.ValidationError:
            return Check.MALFORMED
        return Check.WRONG_CHECKSUM
    except exceptions.ValidationError:
        return Check.MALFORMED
    return Check.VALID


def test_resident_ids_are_judged_as_stdnum_does():
    draw, damage = Fakes(11), random.Random(12)
    # Its list holds the districts by year; Beijing's Chaoyang (110105) has been there all along.
    numbers = []
    for _ in range(5000):
        number = "110105" + f"{draw.birthday(1985, 2020):%Y%m%d}" + draw.digits(3)
        number += ric.calc_check_digit(number + "0")
        place = damage.randrange(6, 18)
        numbers += [number, number[:place] + damage.choice("0123456789X") + number[place + 1 :]]
    numbers = [number for number in numbers if 1985 <= int(number[6:10].replace("X", "0")) < 2021]
    assert len(numbers) > 8000
    expected = [verdict(ric, number) for number in numbers]
    assert set(expected) == {Check.VALID, Check.WRONG_CHECKSUM, Check.MALFORMED}
    assert check(numbers, "resident_id").tolist() == expected


def test_every_district_that_stdnum_knows_is_in_a_province_that_we_know():
    from stdnum import numdb

    known = [f"{first}{second}" for first in range(1, 10) for second in range(10)]
    places = [place for place in known if numdb.get("cn/loc").info(f"{place}0101")[0][1]]
    numbers = [f"{place}010119900101001" for place in places]
    numbers = [number + ric.calc_check_digit(number + "0") for number in numbers]
    assert len(numbers) >= 31
    assert set(check(numbers, "resident_id").tolist()) == {Check.VALID}


def test_credit_codes_are_judged_as_stdnum_does():
    draw, damage = Fakes(13), random.Random(14)
    codes = []
    while len(codes) < 10_000:
        code = draw.credit_code()
        if code[0] in "15" or code[:2] in {"91", "92", "93"}:  # it knows departments of digits alone
            place = damage.randrange(8, 18)
            codes += [code, code[:place] + damage.choice(CREDIT_SIGNS + "IOZSV") + code[place + 1 :]]
    expected = [verdict(uscc, code) for code in codes]
    assert set(expected) == {Check.VALID, Check.WRONG_CHECKSUM, Check.MALFORMED}
    assert check(codes, "credit_code").tolist() == expected

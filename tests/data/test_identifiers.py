"""Chinese identifiers in columns: the standards' rules, held to an oracle that follows them row by row."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fl_tasks.data.identifiers import Check, check, codes, normal_forms, shares
from tests.calls import counted
from tests.data import identifier_fakes as fakes
from tests.data.identifier_fakes import Fakes

KINDS = ("resident_id", "credit_code", "plate", "mobile")
WIDE = {ord(sign): chr(ord(sign) + 0xFEE0) for sign in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

front = st.builds(
    lambda province, area, born, number: f"{province}{area:04}{born:%Y%m%d}{number:03}",
    st.sampled_from(fakes.PROVINCES),
    st.integers(0, 9999),
    st.dates(fakes.dt.date(1800, 1, 1), fakes.dt.date(2099, 12, 31)),
    st.integers(0, 999),
)
resident_ids = front.map(lambda text: text + fakes.resident_check(text))
credit_codes = st.integers(0, 10**9).map(lambda seed: Fakes(seed).credit_code())


def judged(texts, kind):
    return [Check(value).name for value in check(texts, kind)]


def test_the_examples_printed_in_the_standards_are_valid():
    assert judged(["11010519491231002X", "440524188001010014"], "resident_id") == ["VALID"] * 2
    assert judged(["91350100M000100Y43"], "credit_code") == ["VALID"]
    assert judged(["911124198108030024"], "resident_id") == ["VALID"]  # a permanent resident from abroad


@pytest.mark.parametrize("kind", KINDS)
def test_made_up_identifiers_are_valid_and_their_own_normal_form(kind):
    draw = Fakes(1)
    texts = [draw.of(kind) for _ in range(3000)]
    assert set(judged(texts, kind)) == {"VALID"}
    assert normal_forms(texts, kind) == texts
    assert shares([*texts, "", " "])[kind] == 1.0


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        ("110105194912310021", "resident_id", "WRONG_CHECKSUM"),
        ("110105194902290028", "resident_id", "MALFORMED"),  # 1949 was no leap year
        ("110105190002290024", "resident_id", "MALFORMED"),  # nor was 1900
        ("160105194912310027", "resident_id", "MALFORMED"),  # no such province
        ("110105179912310027", "resident_id", "MALFORMED"),
        ("1101051949123X0021", "resident_id", "MALFORMED"),
        ("11010519491231002", "resident_id", "MALFORMED"),
        ("11010519491231002XX", "resident_id", "MALFORMED"),
        ("110105491231002", "resident_id", "VALID"),  # of 15 digits
        ("110105491331002", "resident_id", "MALFORMED"),
        ("91350100M000100Y44", "credit_code", "WRONG_CHECKSUM"),
        ("91350100I000100Y43", "credit_code", "MALFORMED"),  # I, O, Z, S and V are not used
        ("94350100M000100Y43", "credit_code", "MALFORMED"),  # no such class
        ("9135O100M000100Y43", "credit_code", "MALFORMED"),
        ("京A12345", "plate", "VALID"),
        ("京AB1C23", "plate", "VALID"),
        ("京ABCD12", "plate", "MALFORMED"),  # three letters in the serial number
        ("京I12345", "plate", "MALFORMED"),
        ("京A1234O", "plate", "MALFORMED"),
        ("京AD12345", "plate", "VALID"),  # new energy
        ("京AF12345", "plate", "VALID"),
        ("京A12345D", "plate", "VALID"),
        ("京AL12345", "plate", "MALFORMED"),  # L is no kind of energy
        ("京A1234警", "plate", "VALID"),
        ("京A1234学", "plate", "VALID"),
        ("粤Z1234港", "plate", "VALID"),
        ("粤Z1234澳", "plate", "VALID"),
        ("沪A1234领", "plate", "VALID"),
        ("京A1234挂", "plate", "VALID"),
        ("使014578", "plate", "VALID"),
        ("京A12345挂", "plate", "MALFORMED"),
        ("国A12345", "plate", "MALFORMED"),
        ("13812345678", "mobile", "VALID"),
        ("+86 138 1234 5678", "mobile", "VALID"),
        ("0086-13812345678", "mobile", "VALID"),
        ("8613812345678", "mobile", "VALID"),
        ("+8513812345678", "mobile", "MALFORMED"),
        ("⑬812345678", "mobile", "VALID"),  # a thirteen in a circle unfolds into two digits
        ("15412345678", "mobile", "MALFORMED"),  # no such segment
        ("16191234567", "mobile", "VALID"),  # satellites
        ("16181234567", "mobile", "MALFORMED"),
        ("12812345678", "mobile", "MALFORMED"),
        ("138123456789", "mobile", "MALFORMED"),
        ("", "mobile", "EMPTY"),
        (" - ", "plate", "EMPTY"),
    ],
)
def test_each_rule_decides_what_a_cell_is(text, kind, what):
    assert judged([text], kind) == [what]
    assert judged(["", text, "lane 1"], kind) == ["EMPTY", what, "MALFORMED"]


@given(resident_ids, st.integers(0, 17), st.sampled_from("0123456789X"))
def test_every_single_wrong_digit_of_a_resident_id_is_caught(number, place, sign):
    assume(number[place] != sign)
    assert judged([number[:place] + sign + number[place + 1 :]], "resident_id") != ["VALID"]


@given(resident_ids, st.integers(0, 16))
def test_every_two_neighbouring_digits_of_a_resident_id_that_change_places_are_caught(number, place):
    assume(number[place] != number[place + 1])
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    assert judged([swapped], "resident_id") != ["VALID"]


@given(front, st.sampled_from("0123456789X"))
def test_a_resident_ids_check_digit_alone_decides_between_valid_and_mistyped(text, sign):
    right = fakes.resident_check(text)
    assert judged([text + sign], "resident_id") == ["VALID" if sign == right else "WRONG_CHECKSUM"]


@given(
    st.lists(
        resident_ids.flatmap(
            lambda number: st.integers(0, 17).flatmap(
                lambda place: st.sampled_from("0123456789X").map(
                    lambda sign: number[:place] + sign + number[place + 1 :]
                )
            )
        ),
        min_size=1,
    )
)
def test_the_judgement_is_that_of_the_rules_followed_row_by_row(numbers):
    assert [what == "VALID" for what in judged(numbers, "resident_id")] == list(map(fakes.is_resident_id, numbers))


@given(credit_codes, st.integers(0, 17), st.sampled_from(fakes.CREDIT_SIGNS))
def test_every_single_wrong_sign_of_a_credit_code_is_caught(code, place, sign):
    assume(code[place] != sign)
    assert judged([code[:place] + sign + code[place + 1 :]], "credit_code") != ["VALID"]


@given(credit_codes, st.integers(0, 16))
def test_every_two_neighbouring_signs_of_a_credit_code_that_change_places_are_caught(code, place):
    assume(code[place] != code[place + 1])
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert judged([swapped], "credit_code") != ["VALID"]


def test_all_days_of_four_hundred_years_and_no_others_are_birthdays():
    dates = [f"{year}{month:02}{day:02}" for year in range(1796, 2101) for month in range(14) for day in range(33)]
    numbers = [text + fakes.resident_check(text) for text in (f"110105{date}002" for date in dates)]
    assert [what == "VALID" for what in judged(numbers, "resident_id")] == list(map(fakes.is_resident_id, numbers))


def test_an_old_resident_id_becomes_that_of_today():
    assert normal_forms(["110105491231002", "440524800101001"], "resident_id") == [
        "11010519491231002X",
        "440524198001010013",
    ]
    # Sequence numbers from 996 were kept for those born in the century before.
    assert normal_forms(["440524800101996"], "resident_id")[0][6:10] == "1880"
    draw = Fakes(2)
    for old, new in (
        (old, normal_forms([old], "resident_id")[0]) for old in (draw.old_resident_id() for _ in range(50))
    ):
        assert fakes.is_resident_id(new)
        assert new[:6] + new[8:17] == old


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_write_one_has_one_normal_form(kind):
    number = Fakes(3).of(kind)
    ways = [number, number.lower(), number.translate(WIDE), f" {number}\u3000", "\u200b".join(number), f"{number}\n"]
    ways += [f"{number[:3]} {number[3:7]}-{number[7:]}", f"{number[:2]}·{number[2:]}"]
    assert set(normal_forms(ways, kind)) == {number}


def test_a_mobile_number_is_its_eleven_digits_whatever_stands_before():
    ways = ["13812345678", "+86 138-1234-5678", "0086 13812345678", "86 138 1234 5678"]
    assert set(normal_forms(ways, "mobile")) == {"13812345678"}


def test_a_cell_that_is_none_has_no_normal_form():
    texts = ["11010519491231002X", "110105194912310021", "", "see 11010519491231002X"]
    assert normal_forms(texts, "resident_id") == ["11010519491231002X", "", "", ""]
    assert normal_forms([], "resident_id") == []
    assert check([], "resident_id").tolist() == []


def test_shares_are_of_the_cells_that_are_not_empty():
    found = shares(["13812345678", "+8613812345678", "none", "京A12345", "", " "])
    assert found == {"resident_id": 0.0, "mobile": 0.5, "plate": 0.25, "credit_code": 0.0}
    assert set(shares(["", ""]).values()) == {0.0}


def test_a_column_longer_than_a_chunk_is_judged_the_same(monkeypatch):
    draw = Fakes(4)
    texts = [draw.of(draw.draw.choice(KINDS)) + draw.draw.choice(("", " ", "⑩")) for _ in range(300)]
    whole = {kind: (check(texts, kind).tolist(), normal_forms(texts, kind)) for kind in KINDS}
    monkeypatch.setattr(codes, "_CHUNK", 40)
    assert {kind: (check(texts, kind).tolist(), normal_forms(texts, kind)) for kind in KINDS} == whole


@given(st.characters(), st.integers(0, 17))
def test_a_sign_folds_as_compatibility_and_upper_case_say(sign, place):
    """Whatever stands for a digit or letter is read as it: full width, circled, superscript."""
    number = "11010519491231002X"
    text = number[:place] + sign + number[place + 1 :]
    folded = codes.SEPARATORS.sub("", codes.plain(text))
    assert (judged([text], "resident_id") == ["VALID"]) == fakes.is_resident_id(folded)


def test_a_million_ids_are_checked_without_a_call_for_each():
    draw = Fakes(5)
    texts = [draw.resident_id() for _ in range(20_000)] * 50
    check(texts[:10], "resident_id")
    valid, calls = counted(lambda: check(texts, "resident_id"))
    assert (valid == Check.VALID).all()
    print(f"{calls} calls")
    assert calls < len(texts) // 100

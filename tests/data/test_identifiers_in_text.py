"""Identifiers amid free text: several a cell, never inside longer numbers or hashes; masked, never the wrong ones."""

# ruff: noqa: RUF001 - Chinese texts have full-width punctuation

from __future__ import annotations

import hashlib
import hmac
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_tasks.data.identifiers import KINDS, Held, codes, find, held
from fl_tasks.data.pseudonymize import masked, pseudonyms
from tests.data.identifier_fakes import Fakes, credit_check, organisation_check

RESIDENT, CREDIT, PLATE, MOBILE = "11010519491231002X", "91350100M000100Y43", "京A12345", "13812345678"
KEY = bytes(range(32))


def found(*texts):
    """(row, what stands there, kind, certain) of every hit."""
    hits = find(texts)
    columns = (hits.row, hits.start, hits.end, hits.kind, hits.certain)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [(row, hits.texts[row][start:end], KINDS[kind], certain) for row, start, end, kind, certain in rows]


def test_several_identifiers_of_a_cell_are_found_in_their_order():
    text = f"患者{RESIDENT}，电话{MOBILE}或+86 139-1234-5678，车牌{PLATE}，单位{CREDIT}，邮箱zhang.san@example.com.cn。"
    assert found("", text, "none") == [
        (1, RESIDENT, "resident_id", True),
        (1, MOBILE, "mobile", True),
        (1, "+86 139-1234-5678", "mobile", True),
        (1, PLATE, "plate", True),
        (1, CREDIT, "credit_code", True),
        (1, "zhang.san@example.com.cn", "e_mail", True),
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"id{RESIDENT}", "resident_id"),
        (f"7 {RESIDENT} 7", "resident_id"),
        ("110105 19491231 002x", "resident_id"),
        ("１１０１０５１９４９１２３１００２Ｘ", "resident_id"),
        ("⑪ 1101051949\u200b1231002X", "resident_id"),
        (f"tel{MOBILE}", "mobile"),
        ("138 1234 5678", "mobile"),
        ("13812345678.0", "mobile"),
        ("lane 2 13812345678 3", "mobile"),
        ("008613812345678", "mobile"),
        ("粤B·D12345过", "plate"),
        ("川A12345VEHICLES", "plate"),
        ("a 京 A 12345 b", "plate"),
        ("9135 0100 M000 100Y 43", "credit_code"),
        (f"代码{CREDIT}", "credit_code"),
    ],
)
def test_an_identifier_is_found_however_it_is_written(text, kind):
    assert [(found_kind, certain) for _, _, found_kind, certain in found(text)] == [(kind, True)]


@pytest.mark.parametrize(
    "text",
    [
        "138123456789",
        "013812345678",
        "0.13812345678",
        "13 85 12 34 56 7",  # a list of small numbers
        "1381-12-31 2359",
        f"1{RESIDENT}",
        f"{RESIDENT[:17]}12",
        "2018-06-01 00:05:00",
        "2018060100050012",
        "新BRANDS launch",
        "京津高速",
        "user@localhost",
        "a @ b.com",
        "",
    ],
)
def test_what_is_part_of_something_longer_or_else_is_not_found(text):
    assert found(text, text) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("110105194912310021", "resident_id"),
        ("91350100M000100Y44", "credit_code"),
        ("110105491231002", "resident_id"),
        ("15412345678", "mobile"),
        ("6222021234567890128", "bank_card"),
    ],
)
def test_what_only_has_the_form_is_suspicious_and_not_certain(text, kind):
    assert found(f"no. {text}.") == [(0, text, kind, False)]
    assert held([text, "", f"a {text} b {text}"]) == (Held(kind, 0, 2),)


def test_eighteen_digits_are_a_credit_code_only_with_both_check_digits():
    draw, both, one = Fakes(7), [], []
    while not both or not one:
        front = f"9111{draw.digits(4)}{draw.digits(8)}"
        right = organisation_check(front[8:])
        if right != "X":
            wrong = str((int(right) + 1) % 10)
            both += filter(str.isdigit, [front + right + credit_check(front + right)])
            one += filter(str.isdigit, [front + wrong + credit_check(front + wrong)])
    assert found(both[0]) == [(0, both[0], "credit_code", True)]
    assert found(one[0]) == []


def test_cells_are_counted_once_a_kind():
    texts = [f"{MOBILE} {MOBILE}", f"{RESIDENT}", "110105194912310021", f"{RESIDENT} 110105194912310021"]
    assert held(texts) == (Held("resident_id", 2, 1), Held("mobile", 1, 0))
    assert held([]) == ()


@given(st.binary(min_size=32, max_size=32))
def test_keyed_hashes_hold_no_identifier(content):
    assert found(content.hex(), f"a {content.hex()}, b", str(uuid.UUID(bytes=content[:16]))) == []


@given(st.sampled_from([RESIDENT[:17] + "9", MOBILE, "110105491231002"]), st.integers(0, 63), st.sampled_from("abcdef"))
def test_digits_inside_a_hash_are_no_identifier_even_if_they_look_like_one(number, place, letter):
    text = (letter * place + number + letter * 64)[:64]
    if len(text.rstrip(letter)) - place == len(number):
        assert found(text) == []


def test_many_thousand_hashes_hold_no_identifier():
    assert held([hashlib.sha256(str(number).encode()).hexdigest() for number in range(50_000)]) == ()
    assert held([str(uuid.UUID(bytes=hashlib.md5(str(n).encode()).digest())) for n in range(50_000)]) == ()


kinds = st.sampled_from(["resident_id", "credit_code", "plate", "mobile"])
prose = st.sampled_from(
    ["", "电话：", "联系人王芳，", " see ", "(", "于2018年6月1日，", "\n", "🚗", "…", "⑩、", "\u200b"]
)


@given(
    st.lists(st.tuples(prose, kinds, st.integers(0, 10**6)), min_size=1, max_size=6), st.sampled_from(["。", " ", ")"])
)
def test_what_is_planted_is_found_and_masked_wherever_it_stands(plants, closing):
    planted = [(words, Fakes(seed).of(kind)) for words, kind, seed in plants]
    text = "".join(f"{words}{number}，" for words, number in planted) + closing
    assert [what for _, what, _, certain in found(text) if certain] == [number for _, number in planted]
    hidden = masked(["", text, text])
    assert hidden[0] == ""
    assert hidden[1] == hidden[2]
    assert not any(number in hidden[1] for _, number in planted)
    assert found(*hidden) == []


def test_masking_leaves_the_rest_of_a_text_as_it_is():
    assert masked(["  Wang ①, Tel 138 1234 5678！", "no one ①"]) == ["  Wang ①, Tel [mobile]！", "no one ①"]
    assert masked([]) == []


def test_a_masked_id_has_the_pseudonym_of_a_hashed_column():
    text = masked([f"seen {RESIDENT.lower()} and +86 138 1234 5678"], KEY)[0]
    person = hmac.new(KEY, RESIDENT.encode(), hashlib.sha256).hexdigest()
    assert text == f"seen [{person}] and [{pseudonyms([MOBILE], KEY, 'mobile')[0]}]"
    assert pseudonyms(["110105491231002"], KEY, "resident_id") == [person]
    assert masked([text], KEY) == [text]


def test_what_is_doubtful_is_masked_too():
    assert masked(["110105194912310021; 110105491231002; 15412345678"]) == ["[resident_id]; [resident_id]; [mobile]"]


def test_overlapping_ones_go_whole():
    assert masked(["13812345678@qq.com"]) == ["[e_mail]"]
    assert masked(["+86 138 1234 5678"]) == ["[mobile]"]


def test_a_column_longer_than_a_chunk_gives_the_same_hits(monkeypatch):
    draw = Fakes(6)
    texts = [f"⑩ {draw.mobile()} / {draw.resident_id()}" if number % 3 else "" for number in range(200)]
    whole = found(*texts)
    assert len(whole) == 2 * sum(map(bool, texts))
    monkeypatch.setattr(codes, "_CHUNK", 50)
    assert found(*texts) == whole


@given(st.lists(st.text(), max_size=5))
def test_any_text_at_all_can_be_searched_and_masked(texts):
    hits = find(texts)
    assert len(masked(texts)) == len(hits.texts) == len(texts)
    assert all(
        0 <= start < end <= len(hits.texts[row]) for row, start, end in zip(hits.row, hits.start, hits.end, strict=True)
    )

"""An archive of code has one form, holds nothing beside its files, and is opened within limits; deliveries stay."""

from __future__ import annotations

import io
import lzma
import os
import tarfile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_tasks.approvals import delivery
from fl_tasks.approvals.delivery import PLAN_LABEL, hashes, lay_out, open_delivery, pack, read_delivery, unpack
from fl_tasks.approvals.errors import ArchiveRefused, DeliveryAltered, DeliveryConflict, DeliveryMissing
from fl_tasks.contracts.base import sha256_hex
from fl_tasks.contracts.plan import Plan, Terms, code_sha256
from fl_tasks.secagg.records import sign_record
from fl_tasks.stages.installed_code import CodeApproval
from tests.approvals.site import INTERVALS, MARCH

FILES = {"fl_tasks/a.py": b"a", "fl_tasks/b/c.py": b"", "dags/城市.py": b"x" * 5000, "fl_tasks/" + "n" * 300: b"long"}
KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


def signed(archive=None, files=None, **changes):
    """A plan that the coordinator signed for an archive."""
    terms = {
        "scenario": "traffic",
        "agency": "east",
        "code_sha256": code_sha256(hashes(FILES if files is None else files)),
        "config_sha256": "0" * 64,
        "roster_sha256": "0" * 64,
        "source": "x.csv",
        "source_sha256": "0" * 64,
        "lookback_months": 3,
        "columns": {"t": "time"},
        "model": "mlp",
        "rounds": 3,
        "clip": 1.0,
        "privacy": {},
    }
    digest = sha256_hex(pack(FILES) if archive is None else archive)
    plan = {"run_id": MARCH, "data_interval": INTERVALS[MARCH], "code_archive_sha256": digest}
    return sign_record(KEY, PLAN_LABEL, Plan(terms=Terms(**terms), **plan | changes))


def tar(*members, kind=tarfile.PAX_FORMAT, tail=b"", preset=6):
    """An archive that somebody else packs: (name, content, further fields of the member)."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:", format=kind) as archive:
        for name, content, fields in members:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(target.getvalue() + tail, preset=preset)


def test_an_archive_gives_its_files_back_and_is_the_same_bytes_each_time():
    assert unpack(pack(FILES)) == FILES
    assert pack(dict(reversed(FILES.items()))) == pack(FILES)
    assert unpack(pack({})) == {}


def test_an_archive_says_nothing_of_the_machine_that_packed_it():
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(pack(FILES)))) as archive:
        said = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive}
    assert said == {(0, 0, 0, "", "", 0o644)}


part = st.text(st.characters(exclude_characters="/\\", exclude_categories=("C", "Z")), min_size=1, max_size=20)
name = st.lists(part.filter(lambda text: not text.startswith(".")), min_size=1, max_size=4).map("/".join)


@settings(max_examples=50)
@given(st.dictionaries(name.map("fl_tasks/{}".format), st.binary(max_size=2000), max_size=8))
def test_what_may_be_packed_is_unpacked_unchanged(files):
    try:
        packed = pack(files)
    except ArchiveRefused:  # a name below another one
        assert any(other.startswith(f"{one}/") for one in files for other in files)
    else:
        assert unpack(packed) == files


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "fl_tasks/../../x", "fl_tasks//x", "fl_tasks/./x", "fl_tasks/", "x.py", "fl_tasks", "",
     "home/x.py", "fl_tasks/.pth", ".git/x", "fl_tasks\\x", "fl_tasks/a\\b", "fl_tasks/a\nb", "fl_tasks/a\x00b",
     "fl_tasks/\u202ecod.py", "fl_tasks/" + "n" * 400, "fl_tasks/\udc80"],
)  # fmt: skip
def test_a_name_that_leaves_its_folder_or_hides_is_neither_packed_nor_unpacked(name):
    with pytest.raises(ArchiveRefused):
        pack({name: b""})
    if name and "\udc80" not in name:
        with pytest.raises(ArchiveRefused):
            unpack(tar((name, b"", {})))


def test_a_file_is_no_folder_of_another():
    with pytest.raises(ArchiveRefused, match="lies below a file"):
        pack({"dags/a": b"", "dags/a/b": b""})


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_regular_files_are_unpacked(kind):
    with pytest.raises(ArchiveRefused, match="no regular file"):
        unpack(tar(("fl_tasks/a", b"", {"type": kind, "linkname": "/etc/passwd"})))


GOOD = ("fl_tasks/a", b"a", {})


@pytest.mark.parametrize(
    "archive",
    [
        tar(GOOD, GOOD),
        tar(("fl_tasks/b", b"", {}), GOOD),
        tar(("fl_tasks/a", b"a", {"mode": 0o755})),
        tar(("fl_tasks/a", b"a", {"mtime": 1})),
        tar(("fl_tasks/a", b"a", {"uname": "root"})),
        tar(("fl_tasks/a", b"a", {"pax_headers": {"comment": "hidden"}})),
        tar(GOOD, tail=b"hidden" * 2000),
        tar(("fl_tasks/" + "n" * 120, b"", {}), kind=tarfile.GNU_FORMAT),
    ],
    ids=["twice", "order", "mode", "time", "owner", "header", "tail", "format"],
)
def test_nothing_hides_beside_the_files(archive):
    with pytest.raises(ArchiveRefused, match="more than its files"):
        unpack(archive)


@pytest.mark.parametrize(
    "archive",
    [b"", b"no xz", pack(FILES)[:-1], pack(FILES) + b"x", pack(FILES) + pack(FILES), lzma.compress(b"no tar" * 200)],
)
def test_what_is_no_archive_is_refused(archive):
    with pytest.raises(ArchiveRefused):
        unpack(archive)


def test_an_archive_that_grows_too_large_is_refused_before_it_does(monkeypatch):
    monkeypatch.setattr(delivery, "_MOST_FILES", 10)
    monkeypatch.setattr(delivery, "_MOST_UNPACKED_BYTES", 10_000)
    with pytest.raises(ArchiveRefused, match="unpacks to more than 50960 bytes"):
        unpack(tar(("fl_tasks/a", bytes(10**7), {})))
    with pytest.raises(ArchiveRefused, match="may be delivered"):
        unpack(tar(("fl_tasks/a", bytes(10_001), {})))
    with pytest.raises(ArchiveRefused, match="more than 10 files"):
        unpack(tar(*((f"fl_tasks/{i}", b"", {}) for i in range(11))))
    for files in ({"fl_tasks/a": bytes(10_001)}, {f"fl_tasks/{i}": b"" for i in range(11)}):
        with pytest.raises(ArchiveRefused, match="move what is no code"):
            pack(files)


def test_an_archive_that_is_too_long_is_neither_packed_nor_unpacked(monkeypatch):
    packed = pack({"fl_tasks/a": os.urandom(2000)})
    monkeypatch.setattr(delivery, "MOST_CODE_BYTES", len(packed) - 1)
    with pytest.raises(ArchiveRefused, match="the most"):
        unpack(packed)
    with pytest.raises(ArchiveRefused, match="the most that is delivered"):
        pack({"fl_tasks/a": os.urandom(4000)})


def test_the_digest_of_delivered_code_is_that_of_approved_code():
    approval = CodeApproval(agency="east", federation="/x", files=hashes(FILES))
    assert approval.sha256 == code_sha256(hashes(FILES)) == code_sha256(dict(reversed(hashes(FILES).items())))


def test_a_delivery_is_opened_with_the_coordinators_key_alone():
    opened = open_delivery(signed(), pack(FILES), PUBLIC)
    assert (opened.files, opened.plan.run_id) == (FILES, MARCH)
    with pytest.raises(DeliveryAltered, match="not signed by the coordinator"):
        open_delivery(signed(), pack(FILES), Ed25519PrivateKey.generate().public_key().public_bytes_raw())


def test_a_record_that_was_signed_as_something_else_is_no_plan():
    body = open_delivery(signed(), pack(FILES), PUBLIC).plan
    with pytest.raises(DeliveryAltered):
        open_delivery(sign_record(KEY, "cohort", body), pack(FILES), PUBLIC)


def test_code_that_is_not_the_plans_is_refused():
    with pytest.raises(DeliveryAltered, match="the code that came has the hash"):
        open_delivery(signed(), pack(FILES | {"fl_tasks/a.py": b"b"}), PUBLIC)
    other = pack({"fl_tasks/a.py": b"b"})
    with pytest.raises(DeliveryAltered, match="the files that came have the digest"):
        open_delivery(signed(archive=other), other, PUBLIC)


def test_every_flipped_bit_of_a_plan_is_noticed():
    plan, code = signed(), pack(FILES)
    for place in range(len(plan)):
        with pytest.raises(DeliveryAltered):
            open_delivery(plan[:place] + bytes([plan[place] ^ 1]) + plan[place + 1 :], code, PUBLIC)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_delivery_is_laid_out_once_for_everyone_to_read(tmp_path, umask):
    folder = tmp_path / "deliveries" / "east" / MARCH
    before = os.umask(umask)
    try:
        for _ in range(2):
            lay_out(folder, signed(), pack(FILES))
    finally:
        os.umask(before)
    assert sorted(path.name for path in folder.iterdir()) == ["code.tar.xz", "plan"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert {place.stat().st_mode & 0o777 for place in (folder, *folder.parents[:2])} == {0o755}
    assert read_delivery(folder, PUBLIC).files == FILES


def test_another_delivery_later_is_refused_and_the_first_one_stays(tmp_path):
    lay_out(tmp_path / "run", signed(), pack(FILES))
    for plan, code in ((signed(run_id=f"{MARCH}x"), pack(FILES)), (signed(), pack({}))):
        with pytest.raises(DeliveryConflict, match="laid out for this run before"):
            lay_out(tmp_path / "run", plan, code)
    assert read_delivery(tmp_path / "run", PUBLIC).plan.run_id == MARCH
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_there_is_no_delivery_without_both_files(tmp_path):
    with pytest.raises(DeliveryMissing, match="run the stage receive"):
        read_delivery(tmp_path / "run", PUBLIC)
    lay_out(tmp_path / "run", signed(), pack(FILES))
    (tmp_path / "run" / "plan").unlink()
    with pytest.raises(DeliveryMissing):
        read_delivery(tmp_path / "run", PUBLIC)


def test_a_job_of_pysyft_holds_the_plan_and_the_code_and_a_script_that_does_nothing():
    job = open_delivery(signed(), pack(FILES), PUBLIC).job
    assert job.keys() == {"main.py", "plan.json", *FILES}
    assert Plan.model_validate_json(job["plan.json"]) == open_delivery(signed(), pack(FILES), PUBLIC).plan
    with pytest.raises(SystemExit, match="only decided on"):
        exec(compile(job["main.py"], "main.py", "exec"), {})

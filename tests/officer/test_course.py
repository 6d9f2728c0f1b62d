"""An officer's course, by the commands, beside PySyft's own client in another process."""

from __future__ import annotations

import datetime as dt
import os
import stat

import pytest

from fl_tasks.approvals.places import COORDINATOR
from fl_tasks.officer import decide
from fl_tasks.officer.decide import approve
from fl_tasks.officer.receive import receive
from tests.officer.desk_site import APRIL, CODE, JUNE, MARCH, MAY, NOW

DAY = dt.timedelta(days=1)


def test_a_plan_is_received_listed_shown_and_approved_and_pysyfts_own_client_says_so(site):
    plan = site.deliver()
    assert "handed in" in site.done("receive")
    assert site.done("receive") == ""
    assert site.own_client() == {MARCH: ["pending", None, None, COORDINATOR]}
    assert "waits for a decision" in site.done("list")
    shown = site.done("show", MARCH)
    assert f"DIGEST {plan.sha256}" in shown
    assert f"approved until {NOW + 3 * DAY:%Y-%m-%d}" in site.done(
        "approve", MARCH, "--digest", plan.sha256, "--days", 3
    )
    assert site.own_client() == {MARCH: ["approved", "manual", f"plan {plan.sha256}", COORDINATOR]}
    assert "approved until" in site.done("list")


def test_a_decision_names_every_file_of_the_job(received):
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    (made,) = received.decisions()
    code = {"main.py", "plan.json", *CODE}
    assert set(made.files) == {"config.yaml", "run.sh", *(f"code/{name}" for name in code)}
    assert (made.verdict, made.run_id, made.plan_sha256, made.standing) == (
        "approved",
        MARCH,
        received.plan(MARCH).sha256,
        None,
    )


@pytest.fixture
def private_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_another_user_can_read_every_file_of_a_job_and_every_record_and_no_key(site, private_umask):
    site.deliver()
    site.done("receive")
    site.done("approve", MARCH, "--digest", site.plan(MARCH).sha256)
    hidden = {"officer.key", "pins.json", "lock"}
    for path in (site.folder, *site.folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = 0o001 if path.is_dir() else 0o004
        assert bool(mode & wanted) == (path.name not in hidden), path


def test_a_wrong_digest_is_refused_and_nothing_is_written(received):
    before = {path: path.read_bytes() for path in received.folder.rglob("*") if path.is_file()}
    for digest in ("0" * 64, "", received.plan(MARCH).terms_sha256):
        said = received.fl("approve", MARCH, "--digest", digest)
        assert (said.code, "WrongDigest" in said.error) == (10, True)
        assert received.plan(MARCH).sha256 not in said.error
    assert {path: path.read_bytes() for path in received.folder.rglob("*") if path.is_file()} == before


def test_a_rejected_plan_is_rejected_in_pysyft_and_stays_so(received):
    received.done("reject", MARCH, "--reason", "too many columns")
    assert received.own_client()[MARCH][0::2] == ["rejected", "too many columns"]
    assert "rejected by" in received.done("list")
    said = received.fl("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    assert (said.code, "NotDecidable" in said.error) == (10, True)
    received.done("reject", MARCH, "--reason", "again")
    assert [made.reason for made in received.decisions()] == ["too many columns"]


def test_a_revoked_approval_is_rejected_in_pysyft_and_is_not_given_again(received):
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    (made,) = received.decisions()
    received.done("revoke", made.id, "--reason", "mistake")
    assert received.own_client()[MARCH][0::2] == ["rejected", "revoked: mistake"]
    assert "revoked" in received.done("list")
    assert received.fl("approve", MARCH, "--digest", received.plan(MARCH).sha256).code == 10
    received.done("revoke", made.id, "--reason", "again")


def test_only_an_approval_of_this_officer_can_be_revoked(received):
    received.done("reject", MARCH, "--reason", "no")
    for id_ in ("0" * 32, received.decisions()[0].id):
        said = received.fl("revoke", id_, "--reason", "no")
        assert (said.code, "NoSuchRecord" in said.error) == (10, True)


def test_an_approval_that_was_interrupted_before_its_record_is_finished_by_the_same_command(received, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(decide, "write_record", killed)
        with pytest.raises(KeyboardInterrupt):
            received.fl("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    assert received.own_client()[MARCH][0] == "approved"
    assert received.decisions() == []
    assert "with PySyft alone: opens nothing" in received.done("list")
    first = received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    assert received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256) == first
    assert len(received.decisions()) == 1


def test_what_pysyfts_own_client_did_is_seen_in_the_list(received, tmp_path):
    received.own_client("approve", MARCH)
    assert "approved with PySyft alone: opens nothing" in received.done("list")
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    (tmp_path / "result").write_text("x")
    received.own_client("accept_by_depositing_result", MARCH, str(tmp_path / "result"))
    assert "PySyft says done, not approved: changed beside this command, opens nothing" in received.done("list")
    (tmp_path / "main.py").write_text("")
    received.hand_in_foreign("curious", tmp_path / "main.py")
    assert "curious: job of eve@else.invalid, no plan of the coordinator: opens nothing" in received.done("list")


def test_an_approval_of_pysyfts_own_client_in_another_way_is_given_anew(received):
    received.own_client("approve", MARCH, "by hand", "auto")
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)
    assert received.own_client()[MARCH][:2] == ["approved", "manual"]


def test_an_expired_approval_can_be_given_anew(received):
    plan = received.plan(MARCH)
    approve(received.desk, MARCH, plan.sha256, now=NOW - 9 * DAY, days=7)
    assert "expired" in received.done("list")
    received.done("approve", MARCH, "--digest", plan.sha256)
    assert "approved until" in received.done("list")


def test_a_delivery_that_was_altered_on_disk_is_not_taken_over(site):
    for run_id in (MARCH, APRIL, MAY):
        site.deliver(run_id)
    altered = {
        site.delivery(MARCH) / "plan": "DeliveryAltered",
        site.delivery(APRIL) / "code.tar.xz": "DeliveryAltered",
    }
    originals = {path: path.read_bytes() for path in altered}
    for path, data in originals.items():
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    said = site.fl("receive")
    assert (said.code, "ReceiveRefused" in said.error) == (10, True)
    assert [f"{path.parent.name}: REFUSED {why}" in said.out for path, why in altered.items()] == [True, True]
    assert set(site.own_client()) == {MAY}
    for path, data in originals.items():
        path.write_bytes(data)
    assert site.done("receive").count("handed in") == 2


def test_a_delivery_of_another_run_is_not_taken_over(site):
    site.deliver(MARCH)
    site.delivery(MARCH).rename(site.delivery(APRIL))
    assert "DeliveryAltered" in site.fl("receive").out


def test_a_job_that_is_not_the_delivered_one_is_not_approved(received):
    digest = received.plan(MARCH).sha256
    for name in ("code/fl_tasks/train.py", "code/plan.json", "code/main.py", "code/fl_tasks/new.py"):
        path = received.inbox() / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(b"other")
        said = received.fl("approve", MARCH, "--digest", digest)
        assert (said.code, "JobAltered" in said.error, name in said.error) == (10, True, True)
        path.unlink() if before is None else path.write_bytes(before)
    assert received.own_client()[MARCH][0] == "pending"
    received.done("approve", MARCH, "--digest", digest)


def test_a_job_that_was_handed_in_by_half_is_handed_in_anew(received):
    (received.inbox() / "config.yaml").unlink()
    (received.inbox() / "code" / "plan.json").unlink()
    assert "handed in" in received.done("receive")
    received.done("approve", MARCH, "--digest", received.plan(MARCH).sha256)


def test_a_standing_approval_covers_the_next_months_until_its_budget_ends(received):
    plan = received.plan(MARCH)
    until = (NOW + 100 * DAY).date()
    received.done("approve", MARCH, "--digest", plan.sha256, "--standing", "--until", until, "--max-runs", 3)
    (first,) = received.decisions()
    assert first.standing is not None
    received.deliver(APRIL)
    assert "under the standing approval" in received.done("receive")
    assert received.own_client()[APRIL][:2] == ["approved", "auto"]
    received.deliver(MAY)
    received.deliver(JUNE)
    said = received.done("receive")
    assert f"{MAY}: approved until" in said
    assert f"{JUNE}: approved" not in said
    assert {made.run_id for made in received.decisions()} == {MARCH, APRIL, MAY}
    assert {made.standing for made in received.decisions()} == {first.standing}
    assert received.own_client()[JUNE][0] == "pending"
    assert "3 of 3 retrainings" in received.done("list")
    received.done("receive")
    assert len(received.decisions()) == 3


def test_a_standing_approval_covers_neither_other_terms_nor_other_code_nor_a_run_after_its_date(received):
    wanted = decide.Lasting(NOW + 20 * DAY, 9)
    approve(received.desk, MARCH, received.plan(MARCH).sha256, now=NOW, days=7, lasting=wanted)
    received.deliver(APRIL, rounds=6)
    received.deliver(MAY, {**CODE, "dags/retraining.py": b"# airflow dag, changed\n"})
    waits = "handed in; it waits for a decision"
    arrivals = receive(received.desk, now=NOW + 19 * DAY, days=7)
    assert [(one.run_id, one.said) for one in arrivals] == [(APRIL, waits), (MAY, waits)]
    received.deliver(JUNE)
    arrivals = receive(received.desk, now=NOW + 20 * DAY, days=7)
    assert [(one.run_id, one.said) for one in arrivals] == [(JUNE, waits)]
    assert {name: told[0] for name, told in received.own_client().items()} == {
        MARCH: "approved",
        **dict.fromkeys((APRIL, MAY, JUNE), "pending"),
    }


def test_a_standing_approval_that_was_taken_back_covers_nothing(received):
    wanted = decide.Lasting(NOW + 20 * DAY, 9)
    made = approve(received.desk, MARCH, received.plan(MARCH).sha256, now=NOW, days=7, lasting=wanted)
    received.done("revoke", made.standing, "--reason", "no more")
    received.deliver(APRIL)
    assert received.done("receive") == f"{APRIL}: handed in; it waits for a decision\n"
    listed = received.done("list")
    assert f"{MARCH}: revoked with its standing approval" in listed
    assert "; revoked " in listed


def test_a_decision_under_a_standing_approval_ends_with_it(received):
    wanted = decide.Lasting(NOW + 3 * DAY, 9)
    approve(received.desk, MARCH, received.plan(MARCH).sha256, now=NOW, days=7, lasting=wanted)
    received.deliver(APRIL)
    receive(received.desk, now=NOW + DAY, days=7)
    assert [made.not_after for made in received.decisions()] == [NOW + 3 * DAY] * 2


def test_a_run_of_a_standing_approval_is_approved_by_itself_where_the_officer_says_so(received):
    plan, wanted = received.plan(MARCH), decide.Lasting(NOW + 20 * DAY, 1)
    under = approve(received.desk, MARCH, plan.sha256, now=NOW, days=7, lasting=wanted)
    assert approve(received.desk, MARCH, plan.sha256, now=NOW, days=7, lasting=wanted) == under
    alone = approve(received.desk, MARCH, plan.sha256, now=NOW + DAY, days=7)
    assert (under.standing is None, alone.standing) == (False, None)
    assert received.own_client()[MARCH][:2] == ["approved", "manual"]
    assert received.decisions() == [under, alone]


def test_a_standing_approval_that_was_interrupted_before_its_decision_is_one(received, monkeypatch):
    wanted = decide.Lasting(NOW + 20 * DAY, 9)
    plan, written = received.plan(MARCH), decide.write_record

    def killed_at_decision(folder, key, body):
        if type(body).__name__ == "Decision":
            raise KeyboardInterrupt
        return written(folder, key, body)

    with monkeypatch.context() as broken:
        broken.setattr(decide, "write_record", killed_at_decision)
        with pytest.raises(KeyboardInterrupt):
            approve(received.desk, MARCH, plan.sha256, now=NOW, days=7, lasting=wanted)
    made = approve(received.desk, MARCH, plan.sha256, now=NOW, days=7, lasting=wanted)
    assert made.standing is not None
    assert received.done("list").count("standing ") == 2  # its own line, and that of March


def test_a_standing_approval_needs_a_date_and_a_budget(received):
    digest = received.plan(MARCH).sha256
    for words in (["--standing"], ["--until", "2099-01-01"], ["--standing", "--until", "2099-01-01"]):
        assert "belong together" in received.fl("approve", MARCH, "--digest", digest, *words).error
    said = received.fl("approve", MARCH, "--digest", digest, "--standing", "--until", "2020-01-01", "--max-runs", 3)
    assert "NotDecidable" in said.error
    assert received.decisions() == []

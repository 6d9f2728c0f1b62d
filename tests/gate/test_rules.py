"""Rules of the gate: what a worker and a task of an agency may ask, call by call."""

from __future__ import annotations

import datetime as dt

import pytest
from fl_airflow.gate.rules import Caller, Job, check_task_request, check_worker_request, is_log, needs_body

from fl_tasks.exchange.errors import NotYours

CALLER = Caller("piemonte", "queue_piemonte")
OWN_QUEUE = {"queues": ["queue_piemonte"], "free_concurrency": 1}
TASK = ("federated_retraining__traffic", "manual__2018-07-01T00:00:00+00:00", "prepare.piemonte.ingest")
INSTANCE = "0198b0a4-0000-7000-8000-000000000001"
STATE, XCOM = f"task-instances/{INSTANCE}/state", "/".join(("xcoms", *TASK))
NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


def _job_path(*first: str, last: str = "") -> str:
    dag_id, run_id, task_id = TASK
    words = [*first, dag_id, task_id, run_id, "1", "-1"]
    return "/".join(words + ([last] if last else []))


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "worker/piemonte"), ("PATCH", "worker/piemonte"), ("POST", "jobs/fetch/piemonte")],
)
def test_a_worker_of_its_own_name_and_queue_passes(method, path):
    assert needs_body(method, path)
    assert check_worker_request(CALLER, method, path, OWN_QUEUE) is None


@pytest.mark.parametrize(
    "path", ["worker/lazio", "jobs/fetch/lazio", "worker/piemonte%2Flazio", "worker/piemonte/lazio"]
)
def test_another_name_is_refused(path):
    with pytest.raises(NotYours):
        check_worker_request(CALLER, "POST", path, OWN_QUEUE)


@pytest.mark.parametrize(
    "queues",
    [None, [], ["queue_lazio"], ["queue_piemonte", "queue_lazio"], ["queue_piemonte", "default"], "queue_piemonte"],
)
@pytest.mark.parametrize("path", ["worker/piemonte", "jobs/fetch/piemonte"])
def test_null_queues_and_other_queues_are_refused(queues, path):
    with pytest.raises(NotYours, match="queue_piemonte"):
        check_worker_request(CALLER, "POST", path, {"queues": queues, "free_concurrency": 1})


def test_queues_that_are_left_out_are_refused():
    with pytest.raises(NotYours, match="None"):
        check_worker_request(CALLER, "POST", "jobs/fetch/piemonte", {"free_concurrency": 1})


def test_a_team_is_refused():
    with pytest.raises(NotYours, match="team_name"):
        check_worker_request(CALLER, "POST", "jobs/fetch/piemonte", {**OWN_QUEUE, "team_name": "a"})


def test_a_body_that_is_no_object_is_refused():
    with pytest.raises(NotYours, match="JSON object"):
        check_worker_request(CALLER, "POST", "worker/piemonte", ["queue_piemonte"])


def test_a_state_names_the_job_that_has_to_be_the_callers():
    job = Job(dag_id=TASK[0], task_id=TASK[2], run_id=TASK[1], try_number=1, map_index=-1)
    assert check_worker_request(CALLER, "PATCH", _job_path("jobs", "state", last="success"), None) == job


@pytest.mark.parametrize("state", ["restarting", "queued", "skipped", "removed"])
def test_a_state_that_no_worker_reports_is_refused(state):
    with pytest.raises(NotYours):
        check_worker_request(CALLER, "PATCH", _job_path("jobs", "state", last=state), None)


def test_a_log_is_known_as_one_and_names_the_job_that_has_to_be_the_callers():
    path = _job_path("logs", "push")
    assert is_log("POST", path)
    assert check_worker_request(CALLER, "POST", path, None).task_id == TASK[2]
    assert not is_log("GET", path)
    with pytest.raises(NotYours, match="no call"):
        check_worker_request(CALLER, "POST", "logs/push/anything", None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "worker/queues/piemonte"),
        ("GET", _job_path("logs", "logfile_path")),
        ("GET", "worker/piemonte"),
        ("DELETE", "worker/piemonte"),
        ("GET", ""),
    ],
)
def test_every_other_call_is_refused(method, path):
    with pytest.raises(NotYours):
        check_worker_request(CALLER, method, path, OWN_QUEUE)


def asked(method, path, body=None, task=TASK, query=b""):
    check_task_request(method, path, INSTANCE, agency="piemonte", task=task, query=query, body=body, now=NOW)


def told(**more):
    """What a task says at its end."""
    return {"end_date": "2026-11-30T11:59:59.5Z", **more}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"task-instances/{INSTANCE}/heartbeat"),
        ("PUT", f"task-instances/{INSTANCE}/rtif"),
        ("GET", f"{XCOM}/return_value"),
        ("DELETE", f"{XCOM}/return_value"),
    ],
)
def test_a_task_reaches_its_own_state_and_xcom(method, path):
    asked(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "connections/database"),
        ("GET", "variables/secret"),
        ("PUT", "variables/secret"),
        ("POST", f"dag-runs/{TASK[0]}/another"),
        ("GET", "task-instances/states"),
        ("PATCH", "task-instances/0198b0a4-0000-7000-8000-000000000002/run"),
        ("PATCH", f"task-instances/{INSTANCE}/skip-downstream"),
        ("PATCH", f"task-instances/{INSTANCE}/heartbeat"),
        ("PUT", f"task-instances/{INSTANCE}/heartbeat/"),
        ("GET", f"task-instances/{INSTANCE}"),
        ("POST", f"xcoms/{TASK[0]}/{TASK[1]}/prepare.lazio.validate/return_value"),
        ("GET", f"xcoms/{TASK[0]}/another_run/{TASK[2]}/return_value"),
        ("GET", XCOM.replace("xcoms", f"task-instances/{INSTANCE}/../../xcoms")),
        ("GET", f"{XCOM}/../../x"),
        ("GET", f"{XCOM}/./x"),
        ("PATCH", f"hitlDetails/{INSTANCE}"),
        ("GET", f"store/ti/{INSTANCE}/key"),
        ("PUT", "store/asset/by-name/value"),
        ("GET", ""),
    ],
)
def test_a_task_reaches_nothing_else(method, path):
    with pytest.raises(NotYours):
        asked(method, path, {})


@pytest.mark.parametrize(
    "body",
    [
        told(state="success", task_outlets=[], outlet_events=[]),
        told(state="failed"),
        told(state="skipped"),
        told(state="up_for_retry", retry_delay_seconds=None),
        told(state="up_for_retry", retry_delay_seconds=86_400),
        told(state="up_for_reschedule", reschedule_date="2026-11-30T12:01:00+00:00"),
    ],
)
def test_a_task_tells_how_it_has_ended(body):
    asked("PATCH", STATE, body)


@pytest.mark.parametrize(
    "body",
    [
        told(state="deferred", classpath="subprocess.Popen", trigger_kwargs={"args": ["id"]}, next_method="x"),
        told(state="awaiting_input", next_method="x"),
        told(state="removed"),
        told(state="upstream_failed"),
        told(state=["success"]),
        told(state="success", task_outlets=[{"name": "global_model", "uri": "x", "type": "Asset"}]),
        told(state="success", outlet_events=[{"dest_asset_key": {"name": "global_model", "uri": "x"}}]),
        {},
        [],
        None,
    ],
)
def test_a_state_that_the_coordinator_would_act_on_is_refused(body):
    with pytest.raises(NotYours):
        asked("PATCH", STATE, body)


@pytest.mark.parametrize("delay", [1e308, float("nan"), float("inf"), -1, 86_401, "60", True, [1]])
def test_a_retry_that_the_scheduler_could_not_compute_is_refused(delay):
    with pytest.raises(NotYours, match="retry_delay_seconds"):
        asked("PATCH", STATE, told(state="up_for_retry", retry_delay_seconds=delay))


@pytest.mark.parametrize("name", ["end_date", "start_date", "reschedule_date"])
@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:00", "2026-11-30T12:00:00", "20261130", 1.8e9, None, ""]
)
def test_a_time_that_is_far_off_or_none_is_refused(name, time):
    for path in (STATE, f"task-instances/{INSTANCE}/run"):
        with pytest.raises(NotYours, match=name):
            asked("PATCH", path, told(state="failed", hostname="piemonte") | {name: time})


def test_a_task_starts_on_its_agencys_worker():
    start = {"state": "running", "unixname": "huiliu", "pid": 1, "start_date": "2026-11-30T12:00:00Z"}
    asked("PATCH", f"task-instances/{INSTANCE}/run", {**start, "hostname": "piemonte"})
    for hostname in ("127.0.0.1:5432/x?", "lazio", "", None, ["piemonte"]):
        with pytest.raises(NotYours, match="hostname"):
            asked("PATCH", f"task-instances/{INSTANCE}/run", {**start, "hostname": hostname})


@pytest.mark.parametrize("key", ["__classname__", "__type", "__var"])
def test_an_xcom_is_plain_json_and_no_object_of_whoever_reads_it(key):
    asked("POST", f"{XCOM}/return_value", {"reason": key, "counts": [{"rows": 3}]})
    with pytest.raises(NotYours, match=key):
        asked("POST", f"{XCOM}/return_value", {"reason": "", "counts": [{key: "airflow.x"}]})
    with pytest.raises(NotYours, match="JSON object"):
        asked("POST", f"{XCOM}/return_value", f'{{"{key}": "airflow.x"}}')


def test_an_xcom_is_not_made_the_runs_result():
    with pytest.raises(NotYours, match="return_value"):
        asked("POST", f"{XCOM}/return_value", {}, query=b"dag_result=true")


@pytest.mark.parametrize("key", ["another", "return_value/more", ""])
def test_an_xcom_is_the_tasks_result_and_no_other(key):
    with pytest.raises(NotYours, match="return_value"):
        asked("POST", f"{XCOM}/{key}", {})


def test_a_former_try_of_a_task_reaches_its_state_and_no_xcom():
    asked("PUT", f"task-instances/{INSTANCE}/heartbeat", {}, task=None)
    with pytest.raises(NotYours):
        asked("GET", f"{XCOM}/return_value", task=None)

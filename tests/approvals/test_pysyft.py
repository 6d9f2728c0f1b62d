"""PySyft's files are read as PySyft's own client reads them; it calls nobody, and nothing of Google is installed."""

from __future__ import annotations

import json
import subprocess

import pytest

from fl_tasks.approvals.errors import JobAltered, StateMissing
from fl_tasks.approvals.places import COORDINATOR, identity, job_folders
from fl_tasks.approvals.pysyft import JobState, job_files, read_state
from tests.approvals.site import AGENCY, APRIL, JUNE, MARCH, pysyft_python

# Of every call that an import makes, the ones that reach out of the process.
WATCHED = """
import json, sys
seen = []
out = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "urllib.", "http.")
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith(out) else None)
import syft_datasets, syft_job
from syft_job import JobClient
json.dump(seen, sys.stdout)
"""
INSTALLED = """
import importlib.metadata, importlib.util, json, sys
names = [found.metadata["Name"].lower() for found in importlib.metadata.distributions()]
modules = ("google", "googleapiclient", "google_auth_oauthlib", "google_auth_httplib2", "gspread", "pydrive2")
json.dump({"names": names, "modules": [m for m in modules if importlib.util.find_spec(m)]}, sys.stdout)
"""


def ask(program):
    done = subprocess.run(
        [pysyft_python(), "-I", "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_library_of_google_is_installed_beside_pysyft():
    installed = ask(INSTALLED)
    assert "syft-job" in {name.replace("_", "-") for name in installed["names"]}
    assert [name for name in installed["names"] if "google" in name or "gdrive" in name or name == "syft"] == []
    assert installed["modules"] == []


def test_importing_pysyft_opens_no_socket_and_starts_no_program():
    assert ask(WATCHED) == []


def test_a_states_reading_is_pysyfts_own(site):
    """What the client says of jobs that were rejected, done and approved automatically."""
    (site.root / "result").write_text("nothing")
    told = site.pysyft(("reject", JUNE), ("deposit", MARCH, str(site.root / "result")), ("look", APRIL))
    assert {run_id: state["status"] for run_id, state in told.items()} == {
        JUNE: "rejected",
        MARCH: "done",
        APRIL: "approved",
    }
    for run_id, state in told.items():
        read, _ = read_state(job_folders(site.officer, AGENCY, run_id)[1])
        assert read == JobState.model_validate_json(json.dumps(state))
    assert (told[APRIL]["approved_by"], told[APRIL]["approval_method"]) == (identity(AGENCY), "auto")


def test_a_waiting_job_is_read_as_pending(site):
    assert read_state(site.state(JUNE).parent)[0].status == "pending"


def test_a_job_lies_where_pysyft_puts_it_and_holds_what_was_handed_in(site):
    found = job_files(site.inbox())
    assert found.keys() == {"run.sh", "config.yaml", *(f"code/{name}" for name in site.delivery().job)}
    assert site.inbox().parents[1].name == COORDINATOR


def test_a_job_that_is_not_there_is_told_apart(tmp_path):
    inbox, review = job_folders(tmp_path, AGENCY, MARCH)
    with pytest.raises(JobAltered, match="fl officer receive"):
        job_files(inbox)
    with pytest.raises(StateMissing, match="fl officer receive"):
        read_state(review)

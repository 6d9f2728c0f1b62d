"""What the UI and the lineage say of a task; without it each lineage event would repeat the DAG's page."""

from __future__ import annotations

from fl_tasks.contracts.stage import Stage

STAGE_DOCS: dict[Stage, str] = {
    "plan": "Sign for each agency what this run wants of it, with all the code that may run there.",
    "receive": "Verify the plan and its code, and lay both out for the agency's data officer.",
    "ingest": "Read the agency's own data, at the agency.",
    "anonymize": "Drop or hash what points at a person or vehicle; suppress small cells. At the agency.",
    "standardize": "Bring the rows to the scenario's step, unit and series; rejected rows go to quarantine.",
    "validate": "Judge the data and freeze this run's examples. Red: the agency is left out of the run.",
    "cohort": "Invite the agencies that passed. A dry run ends here. Red: fewer than the threshold t passed.",
    "keys": "Make fresh keys for every round and post the public ones.",
    "list": "Freeze whose keys count. Red: fewer than t agencies posted theirs.",
    "shares": "Post encrypted shares of the round secrets, one file for each peer.",
    "ready": "Open and keep the shares that the peers sent, and say which.",
    "close": "Freeze the set A of the session. Red: fewer than t agencies hold each other's shares.",
    "train": "Train on the agency's own data, mask the model delta, post the masked update.",
    "manifest": "Freeze whose updates are in the sum; fewer than t burn the round.",
    "ack": "Check the manifest and confirm it.",
    "reveal": "Post the shares that unmask the sum, and no single update.",
    "aggregate": "Unmask the sum and take the server optimizer's step. Red: fewer than t agencies revealed.",
    "close_round": "Pass the newest model on, or end the rounds. Red: too many rounds were burnt.",
    "evaluate": "Judge the model, and the champion beside it, on the agency's held-back data.",
    "gate": "Compare the model with the champion. Red: too few agencies judged it.",
    "promote": "Make the model the champion and say so to the asset. Skipped: the model is held.",
    "report": "Write report.json and report.html; also for a run that failed.",
    "verdict": "Decide the colour of the run: green for promoted and for held.",
    "predict": "Forecast the agency's next horizons with the champion, in the agency's own folder.",
    "rollback": "Make a former champion the champion again.",
    "survey": "Invite the agencies whose raw data passed, and sign what is summed. Red: fewer than t passed.",
    "count": "Count what every recoding would cost the agency's own rows; post the masked numbers.",
    "watch": "Hold the agency's newest data against those that the champion was trained on; post the verdict.",
    "drift": "Count the agencies whose data have moved. Skipped: they are too few to retrain early.",
    "recode": "Unmask the sums, choose one recoding and scale for all, sign them. Red: no recoding fits everyone.",
}
APPROVE_DOC = (
    "Ask the scenario's approvers whether the model may become champion. Rejected, or not answered in time: it is held."
)
OFFICERS_DOC = (
    "Wait, without a worker, for what the agencies' data officers decide. Green also when the time is over: whose "
    "officer has not approved is left out."
)
BARRIER_DOC = "Over when every agency's step before it is over, whatever became of it; the next step counts them."
EARLY_DOC = (
    "Start a retraining on the data up to now: once in an interval of its schedule, and never beside another one."
)

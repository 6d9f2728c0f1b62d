"""The runs that test_runs looks at: which DAG, which parameters, what its stages answer."""

# Two members keep the runs short; what the threshold is, the stages decide.
EAST, WEST = "district_northeast", "district_southwest"
MODEL = "ab" * 32
PROMOTED = {"promote": {"version": 3, "digests": {"model": MODEL}}}
ONE_ROUND = {"close_round:1": {"finished": True}}

CASES = {
    "promoted": {
        "conf": {"rounds": 1, "interval": ["2012-05-01", "2012-06-01T00:00:00+02:00"]},
        "stand_in": ONE_ROUND | PROMOTED,
    },
    "promoted_again": {"stand_in": ONE_ROUND | PROMOTED},
    "held": {"stand_in": ONE_ROUND | {f"evaluate:{EAST}": {"exit": 10}}},
    "rejected": {"stand_in": ONE_ROUND | {f"validate:{EAST}": {"exit": 10}}},
    "lost_in_round_1": {
        "stand_in": {
            f"train:{EAST}:1": {"exit": 10},
            f"shares:{WEST}": {"exit": 1, "once": True},
            f"reveal:{WEST}:1": {"kill": True, "once": True},
            "close_round:2": {"finished": True},
        }
    },
    "burnt": {"stand_in": {"manifest:1": {"burnt": True}, "close_round:2": {"finished": True}}},
    "dry_run": {"conf": {"dry_run": True}, "stand_in": {"cohort": {"finished": True}}},
    "no_cohort": {"stand_in": {"cohort": {"exit": 10}}},
    "no_sum": {"stand_in": {"aggregate:2": {"exit": 10}}},
    "no_gate": {"stand_in": ONE_ROUND | {"gate": {"exit": 10}}},
    "no_promotion": {"stand_in": ONE_ROUND | {"promote": {"exit": 10}}},
    "red_verdict": {"stand_in": ONE_ROUND | {"verdict": {"failed": True, "reason": "too few"}}},
    "fewer_agencies": {
        "conf": {"agencies": [WEST]},
        "stand_in": ONE_ROUND | {f"ack:{WEST}:1": {"status": "skipped", "reason": "why"}},
    },
    "forecast": {"dag": "forecast", "after": "promoted", "stand_in": {f"predict:{EAST}": {"exit": 10}}},
    "forecast_by_hand": {"dag": "forecast", "conf": {"agencies": [WEST]}},
    "forecast_of_an_interval": {"dag": "forecast", "conf": {"interval": ["2012-05-01", "2012-06-01"]}},
    "rollback": {"dag": "rollback", "conf": {"version": 2}},
}
RED = {"no_cohort", "no_sum", "no_gate", "no_promotion", "red_verdict", "forecast"}

"""Stands in for `fl run STAGE --spec PATH` where only the scheduling is tested: answers as $STAND_IN says.

$STAND_IN is JSON: {"<stage>[:<agency>][:<round>]": {"exit": 10} or {"kill": true} or fields of the result}. An entry
with "once" holds for the first try only. Without an entry a stage is done, and the model is held.
"""

import json
import os
import signal
import sys
from pathlib import Path

HELD = {"status": "skipped", "reason": "held"}


def main() -> int:
    """Answer one stage."""
    _, stage, _, path = sys.argv[1:]
    spec_path = Path(path)
    spec = json.loads(spec_path.read_text())
    names = [stage] + [str(spec[key]) for key in ("agency", "round") if spec[key] is not None]
    answer = json.loads(os.environ["STAND_IN"]).get(":".join(names), HELD if stage == "promote" else {})
    marker = spec_path.with_suffix(".tried")
    if answer.pop("once", False) and marker.exists():
        answer = {}
    marker.touch()
    print(f"canary-environment {sorted(name for name in os.environ if 'AIRFLOW' in name)}")
    if answer.pop("kill", False):
        os.kill(os.getpid(), signal.SIGKILL)
    code = answer.pop("exit", 0)
    if code == 0:
        result = spec_path.parent.parent / "results" / spec_path.name
        result.parent.mkdir(parents=True, exist_ok=True)
        outputs = [{"namespace": "exchange", "name": ":".join(names)}]
        fields = {"stage": stage, "status": "done", "seconds": 0.5, "outputs": outputs}
        result.write_text(json.dumps(fields | answer))
    return code


if __name__ == "__main__":
    sys.exit(main())

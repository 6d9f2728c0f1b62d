"""anjana's full-domain generalization in its own environment: jobs as JSON lines, each answered with its CPU seconds.

A job: {"data": CSV file, "quasi": [...], "k": 5, "suppression": percent, "hierarchies": {column: [level: [...]]}}.
Reading the file and laying out the hierarchies does not count.
"""

import contextlib
import io
import json
import sys
import time

import numpy as np
import pandas as pd
from anjana.anonymity import k_anonymity

for line in sys.stdin:
    job = json.loads(line)
    data = pd.read_csv(job["data"], dtype=str)
    hierarchies = {
        name: {number: np.array(level) for number, level in enumerate(levels)}
        for name, levels in job["hierarchies"].items()
    }
    rows = len(data)
    with contextlib.redirect_stdout(io.StringIO()):
        start = time.process_time()
        released = k_anonymity(data, [], job["quasi"], job["k"], job["suppression"], hierarchies)
        cpu = time.process_time() - start
    classes = len(released[job["quasi"]].drop_duplicates()) if len(released) else 0
    print(json.dumps({"cpu": cpu, "classes": classes, "suppressed": rows - len(released)}), flush=True)

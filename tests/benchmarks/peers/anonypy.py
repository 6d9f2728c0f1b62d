"""anonypy's Mondrian in its own environment: reads jobs as JSON lines, answers each with its CPU seconds and result.

A job: {"data": CSV file, "quasi": [...], "numeric": [...], "k": 5}. Reading the file does not count.
"""

import json
import sys
import time

import anonypy
import pandas as pd

for line in sys.stdin:
    job = json.loads(line)
    data = pd.read_csv(job["data"])
    for name in job["quasi"]:
        if name not in job["numeric"]:
            data[name] = data[name].astype("category")
    data["sensitive"] = data["sensitive"].astype("category")
    start = time.process_time()
    rows = anonypy.Preserver(data, job["quasi"], "sensitive").anonymize_k_anonymity(job["k"])
    cpu = time.process_time() - start
    classes = len({tuple(row[name][0] for name in job["quasi"]) for row in rows})
    print(json.dumps({"cpu": cpu, "classes": classes}), flush=True)

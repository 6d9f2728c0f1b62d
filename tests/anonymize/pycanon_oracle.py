"""pyCANON in its own environment: reads tables as JSON lines, answers each with k, l, entropy l and t."""

import json
import sys

import pandas as pd
from pycanon.anonymity import entropy_l_diversity, k_anonymity, l_diversity, t_closeness

for line in sys.stdin:
    job = json.loads(line)
    data = pd.DataFrame(job["columns"])
    measured = {"k": int(k_anonymity(data, job["quasi"]))}
    if job["sensitive"]:
        measured["l"] = int(l_diversity(data, job["quasi"], job["sensitive"]))
        measured["entropy_l"] = int(entropy_l_diversity(data, job["quasi"], job["sensitive"]))
        measured["t"] = float(t_closeness(data, job["quasi"], job["sensitive"]))
    print(json.dumps(measured), flush=True)

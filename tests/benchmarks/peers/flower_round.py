"""The same rounds in Flower's simulation: `python -m tests.benchmarks.peers.flower_round SPEC`, in its environment.

One node an agency, a process of Ray for each core, FedAvg of all nodes, weighted by examples, which is a server
optimizer of plain averaging: SGD with rate 1. SPEC as in round_tff.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from tests.benchmarks.peers import flower_round_client as client

server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds and leave the model's weights."""
    spec = client.spec()
    optimizer = spec["model"]["learning"]["server_optimizer"]
    assert (optimizer["name"], optimizer["learning_rate"]) == ("sgd", 1.0), "FedAvg has no other server optimizer"
    nodes = len(spec["agencies"])
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    start = ArrayRecord(client.compiled()[0].get_weights())
    result = strategy.start(grid, start, num_rounds=spec["rounds"])
    failed = [round_ for round_ in range(1, spec["rounds"] + 1) if round_ not in result.train_metrics_clientapp]
    assert not failed, f"rounds {failed} have no result"
    np.savez(spec["weights_out"], *result.arrays.to_numpy_ndarrays())


if __name__ == "__main__":
    os.environ[client.SPEC] = str(Path(sys.argv[1]).resolve())
    run_simulation(
        server_app=server,
        client_app=client.app,
        num_supernodes=len(client.spec()["agencies"]),
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False},
        },
    )

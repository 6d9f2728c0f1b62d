"""digits learns: three rounds over four offices reach the reference figure, and beat what each office learns alone."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from fl_tasks.contracts.config import load_scenario
from fl_tasks.contracts.jobs import ModelSpec
from fl_tasks.data.tables.features import encode_pictures, encode_target
from fl_tasks.data.tables.table import Table, texts
from fl_tasks.learning import predict, server
from fl_tasks.learning.client import LocalTraining
from fl_tasks.learning.examples import Examples
from fl_tasks.scenarios import digits

FEDERATION = Path(__file__).parents[2] / "dags" / "federation"
REFERENCE = 0.926  # federated averaging, three rounds, 297 held-out pictures


def office(content, config, seed):
    """An office's pictures to fit and to test, 80 and 20 of a hundred, as the configuration splits them."""
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(content).decode())))
    columns = {column.column: np.array([float(row[column.column]) for row in rows]) for column in config.of("feature")}
    table = Table({**columns, "digit": texts([row["digit"] for row in rows])})
    x, y = encode_pictures(table, config), encode_target(table, config)
    order = np.random.default_rng(seed).permutation(len(rows))
    held = int(config.split.test * len(rows))
    return Examples(x[order[held:]], y[order[held:]]), Examples(x[order[:held]], y[order[:held]])


def test_three_rounds_beat_the_reference_and_the_mean_of_those_who_learn_alone():
    config = load_scenario(FEDERATION, "digits")
    inputs, outputs = digits.shapes(config.table)
    spec = ModelSpec(scenario="digits", learning=config.learning, input_shape=inputs, output_shape=outputs)
    files = digits.generate(seed=0)
    offices = [office(files[name][digits.FILE], config.table, seed) for seed, name in enumerate(digits.OFFICES)]
    initial, state = server.initial(spec)
    training, weights = LocalTraining(spec), initial
    epochs = config.learning.local_epochs
    for round_ in range(digits.DEMO_ROUNDS):
        updates = [
            training.run(weights, fit, epochs=epochs, seed=10 * round_ + i) for i, (fit, _) in enumerate(offices)
        ]
        total = sum(update.examples for update in updates)
        norms = [np.sqrt(sum(float(np.square(part).sum()) for part in u.delta.values())) for u in updates]
        assert max(norms) < config.secagg.clip
        mean = {name: sum(u.delta[name] * np.float32(u.examples / total) for u in updates) for name in weights}
        weights, state = server.step(spec, weights, state, mean)

    def right(model, test):
        return float((predict.predict(spec, model, test.x).argmax(axis=1) == test.y.argmax(axis=1)).mean())

    passes = digits.DEMO_ROUNDS * epochs
    alone = [
        right(predict.local_only(spec, initial, fit, epochs=passes, seed=i), test)
        for i, (fit, test) in enumerate(offices)
    ]
    together = [right(weights, test) for _, test in offices]
    print(f"together {np.mean(together):.4f}, alone {np.mean(alone):.4f}")
    assert np.mean(together) > REFERENCE
    assert np.mean(together) > np.mean(alone)

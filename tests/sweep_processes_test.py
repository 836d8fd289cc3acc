#!/usr/bin/env python3
"""Trains one sweep in several processes: the same results with any number of them, also where some were killed or hung; wrong starts.

Arguments: PROGRAM. Exit code 77 where this system gives no network of its own, or the program was built without Gloo.
"""
import csv
import hashlib
import re
import signal
import tempfile
from pathlib import Path

from ranks import TIMEOUT, Group, enter_own_network, finish_alone, require_gloo, wait_until

# 80 runs in 32 trainings.
SWEEP = """
title = "shared out"
seeds = 16
[fixed]
validation_fraction = 0.9
epochs = {epochs}
[grid]
hidden = ["8", "12,6"]
l2 = [0.0, 0.01]
[[experiment]]
name = "kept"
hidden = "8"
l2 = 0
"""
RUNS, TRAININGS = 80, 32


def write_sweep(folder, name, epochs):
    file = folder / f"{name}.toml"
    file.write_text(SWEEP.format(epochs=epochs), encoding="utf-8")
    return file


def sweep(file, out):
    return ["sweep", str(file), "--data", "synthetic", "--threads", "1", "--out", str(out)]


def results_of(out):
    """Rows without the time that they took, and the models' hashes."""
    with open(out / "results.csv", encoding="utf-8", newline="") as file:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    assert len(rows) == RUNS, len(rows)
    models = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((out / "models").iterdir())}
    assert models
    return rows, models


def jobs_done(out):
    return len(list((out / "jobs").glob("*.json")))


def finish(group):
    codes, said = group.finish()
    assert codes == [0] * len(codes), (codes, said)


def check_same(folder, file, expected):
    for size in (2, 4):
        group = Group(size, sweep(file, folder / f"in-{size}"))
        finish(group)
        by_others = re.search(rf"^(\d+) of {TRAININGS} trainings done by other processes$", group.errors, re.MULTILINE)
        assert 0 < int(by_others[1]) < TRAININGS, group.errors
        assert results_of(folder / f"in-{size}") == expected, size
    shares = []
    for share in ("1/2", "2/2"):
        finish(Group(2, sweep(file, folder / "share") + ["--shard", share]))
        shares.append(str(folder / f"share-{share.replace('/', '-of-')}"))
    finish_alone(["sweep", "--merge", *shares, "--out", str(folder / "merged")])
    assert results_of(folder / "merged") == expected
    print(f"the same {RUNS} runs by 1, 2 and 4 processes, and by 2 processes each for two shares")


def begun(group_size, file, out):
    """A group that has stored its first results, with most of its work to come."""
    group = Group(group_size, sweep(file, out))
    wait_until(lambda: jobs_done(out) > 0, "the first result")
    assert jobs_done(out) < TRAININGS, "the trainings are too short to be disturbed"
    return group


def check_lost_workers(folder, file, expected):
    out = folder / "lost"
    group = begun(4, file, out)
    for rank, how in [(1, signal.SIGKILL), (2, signal.SIGTERM), (3, signal.SIGSTOP)]:
        group.processes[rank].send_signal(how)
    assert group.processes[0].wait(timeout=TIMEOUT) == 0
    assert results_of(out) == expected
    group.processes[3].send_signal(signal.SIGCONT)
    codes, said = group.finish()
    assert codes[:3] == [0, -signal.SIGKILL, 128 + signal.SIGTERM] and codes[3] in (0, 1) and len(said) <= 1, (codes, said)
    print("the same runs where of 4 processes one was killed, one interrupted and one hung")


def check_lost_first(folder, file, expected):
    out = folder / "first"
    group = begun(3, file, out)
    group.processes[0].send_signal(signal.SIGKILL)
    codes, said = group.finish()
    assert codes == [-signal.SIGKILL, 1, 1] and len(said) == 1 and "rank 0 of 3 has ended or hung" in said[0], (codes, said)
    before = {path: path.stat().st_mtime_ns for path in (out / "jobs").iterdir()}
    finish(Group(2, sweep(file, out)))
    assert results_of(out) == expected
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "trained twice"
    print(f"goes on after rank 0 was killed: {said[0]}")


def check_interrupted(folder, file, expected):
    out = folder / "interrupted"
    group = begun(3, file, out)
    group.processes[0].send_signal(signal.SIGTERM)  # which rank 0 tells the others
    codes, said = group.finish()
    assert codes == [128 + signal.SIGTERM] * 3 and not said, (codes, said)
    finish(Group(2, sweep(file, out)))
    assert results_of(out) == expected
    print("goes on after a signal to rank 0")


def check_wrong_starts(folder, file):
    other = write_sweep(folder, "other", 3)
    for words, of_rank in [("rank 1 of 2: other flags or file than rank 0", lambda rank: ["--l2", f"0.{rank + 1}"]),
                           ("--nonsense", lambda rank: ["--nonsense"] if rank else [])]:
        codes, said = Group(2, sweep(file, folder / "wrong"), of_rank).finish()
        assert codes == [1, 1] and len(said) == 1 and words in said[0], (codes, said)
        print(f"refused: {said[0]}")
    assert not (folder / "wrong").exists()
    codes, said = Group(2, ["sweep", "--merge", str(folder / "share-1-of-2"), str(folder / "share-2-of-2")]).finish()
    assert codes == [1, 1] and len(said) == 1 and "--merge: is the work of one process" in said[0], (codes, said)
    codes, said = Group(2, sweep(other, folder / "in-2")).finish()
    assert codes == [1, 1] and len(said) == 1 and "differs in its configurations" in said[0], (codes, said)
    print(f"refused: {said[0]}")


require_gloo()
enter_own_network()
with tempfile.TemporaryDirectory() as temporary:
    here = Path(temporary)
    quick = write_sweep(here, "quick", 2)
    finish_alone(sweep(quick, here / "alone"))
    check_same(here, quick, results_of(here / "alone"))
    check_wrong_starts(here, quick)
    slower = write_sweep(here, "slower", 20)
    finish_alone(sweep(slower, here / "alone-slower"))
    expected_of_slower = results_of(here / "alone-slower")
    check_lost_workers(here, slower, expected_of_slower)
    check_lost_first(here, slower, expected_of_slower)
    check_interrupted(here, slower, expected_of_slower)

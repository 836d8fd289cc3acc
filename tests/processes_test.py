#!/usr/bin/env python3
"""Trains one network in several processes: the same bits with any number of them, also after one was killed; wrong starts.

Arguments: PROGRAM [KILLS]. Exit code 77 where this system gives no network of its own, or the program was built without Gloo.
"""
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ranks import TIMEOUT, Group, enter_own_network, finish_alone, program, require_gloo, wait_until


def result_of(run):
    """Hashes of what must have the same bits."""
    names = ["metrics.jsonl", "model.pt"]
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}


def start(size, flags):
    """Trains in so many processes, to the end."""
    arguments = ["train", "--threads", "1"] + flags
    if size == 1:
        finish_alone(arguments)
        return
    codes, said = Group(size, arguments).finish()
    assert codes == [0] * size, (codes, said)


def flags_of(run, flags):
    return ["--data", "synthetic", "--out", str(run)] + flags


# Of 20,000 images 2,000 are for training: of the last batch 2 are left where it would have 37, 5 where 57: fewer than shards.
FEW = ["--validation-fraction", "0.9", "--shards", "8", "--epochs", "2"]
SETTINGS = {
    "plain, more parameters than are added up whole": FEW + ["--hidden", "100,10", "--batch-size", "37"],
    "batch norm, Adam, dropout, smoothed labels": FEW + [
        "--hidden", "20,10", "--batch-norm", "--optimizer", "adam", "--learning-rate", "0.002", "--dropout", "0.2",
        "--input-dropout", "0.1", "--label-smoothing", "0.1", "--batch-size", "37", "--evaluate-every", "20"],
    "each shard normalised by itself": FEW + [
        "--hidden", "20,10", "--batch-norm", "--batch-norm-statistics", "shard", "--batch-size", "48"],
    "augmented, two networks, a last batch of fewer images than shards": FEW + [
        "--hidden", "16", "--batch-norm", "before", "--augment", "light", "--replicas", "2", "--optimizer", "nesterov",
        "--clip", "1", "--batch-size", "57", "--ema", "0.9", "--reestimate-batch-norm", "--standardise"],
}


def check_same_bits(folder):
    for number, (name, flags) in enumerate(SETTINGS.items()):
        results = {}
        sizes = (1, 2, 8) if number == 0 else (1, 2, 4)
        for size in sizes:
            run = folder / f"same-{number}-{size}"
            start(size, flags_of(run, flags))
            results[size] = result_of(run)
        assert all(result == results[1] for result in results.values()), (name, results)
        print(f"same bits with {sizes} processes: {name}")


def check_killed(folder, moments):
    flags = SETTINGS["batch norm, Adam, dropout, smoothed labels"] + ["--checkpoint-every", "10", "--epochs", "8"]
    start(1, flags_of(folder / "whole", flags))
    expected = result_of(folder / "whole")
    seconds = json.loads((folder / "whole" / "summary.json").read_text())["seconds"]
    chance = random.Random(7)
    killed = 0
    for moment in range(moments):
        run = folder / f"killed-{moment}"
        size = chance.choice([2, 4])
        group = Group(size, ["train", "--threads", "1"] + flags_of(run, flags))
        wait_until((run / "config.json").exists, "the training to begin")
        time.sleep(chance.uniform(0, 2) * seconds)
        victim = chance.randrange(size)
        group.processes[victim].send_signal(signal.SIGKILL)
        codes, said = group.finish()
        others = {code for rank, code in enumerate(codes) if rank != victim}
        assert others == {1} and len(said) == 1 and f"rank {victim} of {size}" in said[0] or others == {0} and not said, (codes, said)
        killed += codes[victim] == -signal.SIGKILL
        if not (run / "summary.json").exists():
            begun = any(run.glob("checkpoint*"))
            start(chance.choice([1, 2, 4, 8]), ["--resume", str(run)] if begun else flags_of(run, flags) + ["--overwrite"])
        assert result_of(run) == expected, f"other bits after rank {victim} of {size} was killed"
    assert killed > 0, "all had ended before they were killed"
    print(f"same bits after {killed} kills")


def expect_refusal(codes, said, words):
    assert all(code == 1 for code in codes), (codes, said)
    assert len(said) == 1 and words in said[0], said
    print(f"refused: {said[0]}")


def check_wrong_starts(folder):
    flags = ["train", "--data", "synthetic", "--epochs", "1", "--shards", "2", "--out", str(folder / "wrong")]
    alone = dict(os.environ)
    for variables, words in [({"RANK": "0"}, "WORLD_SIZE"), ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK"),
                             ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK"),
                             ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_RANK")]:
        done = subprocess.run([program] + flags, env={**alone, **variables}, capture_output=True, text=True, timeout=TIMEOUT)
        expect_refusal([done.returncode], done.stderr.splitlines(), words)
    expect_refusal(*Group(2, flags, lambda rank: ["--l2", f"0.{rank + 1}"]).finish(), "rank 1 of 2: other flags than rank 0")
    expect_refusal(*Group(2, flags, lambda rank: ["--nonsense"] if rank else []).finish(), "--nonsense")
    expect_refusal(*Group(4, flags).finish(), "--shards: got 2; must be a multiple of the 4 processes")
    assert not (folder / "wrong").exists()

    # Two runs on one port: the later ranks say so, whichever store they reach.
    port = 29590
    slow = Group(2, flags + ["--epochs", "10000"], port=port)
    # Once rank 0 reports a step, both have begun to catch signals.
    metrics = folder / "wrong" / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and metrics.stat().st_size > 0, "the first measurement")
    codes, said = Group(2, flags + ["--out", str(folder / "second")], port=port).finish()
    assert codes == [1, 1] and all("29590" in line for line in said), (codes, said)
    print(f"refused: {said[0]}")
    for process in slow.processes:
        process.terminate()
    codes, said = slow.finish()
    assert codes == [128 + signal.SIGTERM] * 2, (codes, said)


def check_rank_0_alone_writes(folder):
    group = Group(2, ["train", "--data", "synthetic", "--epochs", "1", "--shards", "2", "--out", str(folder / "one")])
    outputs = [process.communicate(timeout=TIMEOUT) for process in group.processes]
    assert "test" in outputs[0][0] and outputs[1] == ("", ""), outputs[1]
    assert json.loads((folder / "one" / "summary.json").read_text())["processes"] == 2


require_gloo()
enter_own_network()
moments = int(sys.argv[2]) if len(sys.argv) > 2 else 4
with tempfile.TemporaryDirectory() as temporary:
    check_rank_0_alone_writes(Path(temporary))
    check_wrong_starts(Path(temporary))
    check_same_bits(Path(temporary))
    check_killed(Path(temporary), moments)

#!/usr/bin/env python3
"""Reads the event files of --log tensorboard with protobuf's own parser: checksums, scalars against metrics.jsonl, histograms against
the shapes of the network, hyperparameters against config.json, the picture of augmentation against that of the report. Runs that are
killed, cut short or told otherwise go on; apart from times they must leave the bytes of one that was left alone.

Argument: the handgrad program. Needs no data set. Exits 77, "skipped", where protoc or Python's protobuf is missing."""
import base64
import importlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

try:
    import google.protobuf  # noqa: F401
except ImportError:
    print("skipped: Python has no protobuf; install python3-protobuf")
    sys.exit(77)
if not shutil.which("protoc"):
    print("skipped: there is no protoc; install protobuf-compiler")
    sys.exit(77)

program = os.path.realpath(sys.argv[1])
tests = pathlib.Path(__file__).resolve().parent
scratch = tempfile.TemporaryDirectory()
os.chdir(scratch.name)
subprocess.run(["protoc", f"--proto_path={tests}", "--python_out=.", "tensorboard.proto"], check=True)
sys.path.insert(0, scratch.name)
messages = importlib.import_module("tensorboard_pb2")

events_name = "events.out.tfevents.handgrad"
training = ["--data", "synthetic", "--device", "cpu", "--threads", "1"]
networks = {
    "plain": ["--hidden", "6,5", "--epochs", "3", "--evaluate-every", "150"],
    "averaged": ["--hidden", "6", "--replicas", "2", "--epochs", "2", "--ema", "0.99", "--augment", "medium", "--data-seed", "3"],
    "several": ["--hidden", "6", "--batch-norm", "--replicas", "2", "--optimizer", "adam", "--l2", "0.1", "--epochs", "2"],
}


def handgrad(*arguments, code=0):
    result = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == code, (arguments, result)
    return result


def train(out, *flags, **options):
    return handgrad("train", *training, *flags, "--out", out, **options)


def crc32c_of_byte(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


crc32c_table = [crc32c_of_byte(byte) for byte in range(256)]


def crc32c(data):
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder = remainder >> 8 ^ crc32c_table[(remainder ^ byte) & 0xFF]
    return remainder ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def events(run):
    """All of them; every byte of the file must be of a record."""
    file = pathlib.Path(run, events_name).read_bytes()
    found = []
    while file:
        (size,) = struct.unpack("<Q", file[:8])
        data = file[12 : 12 + size]
        assert file[8:12] == masked(file[:8]) and file[12 + size : 16 + size] == masked(data), (run, len(found))
        found.append(messages.Event.FromString(data))
        known = found[-1].ByteSize()
        found[-1].DiscardUnknownFields()
        assert found[-1].ByteSize() == known, (run, "a field that the definitions do not have", found[-1])
        file = file[16 + size :]
    return found


def values(run):
    return [(event, value) for event in events(run) for value in event.summary.value]


def session(value):
    assert value.metadata.plugin_data.plugin_name == "hparams"
    return messages.HParamsPluginData.FromString(value.metadata.plugin_data.content)


def timeless(run):
    """The file with all times at 0, event by event."""
    found = events(run)
    for event in found:
        event.wall_time = 0
        for value in event.summary.value:
            if value.HasField("metadata"):
                plugin = session(value)
                plugin.session_start_info.start_time_secs = 0
                if plugin.HasField("session_end_info"):
                    plugin.session_end_info.end_time_secs = 0
                value.metadata.plugin_data.content = plugin.SerializeToString(deterministic=True)
    return [event.SerializeToString(deterministic=True) for event in found]


def config(run):
    return json.loads(pathlib.Path(run, "config.json").read_text())


def float32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def shapes(run):
    """The numbers in each parameter of a network."""
    settings = config(run)
    widths = [784, *map(int, settings["hidden"].split(",")), 10]
    layers = {}
    index = 0
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        layers |= {f"{index}.weight": inputs * outputs, f"{index}.bias": outputs}
        index += 2
        if settings["batch_norm"] and layer < len(widths) - 2:
            layers |= {f"{index}.weight": outputs, f"{index}.bias": outputs}
            index += 1
    return layers


def check_scalars(run, replicas):
    expected = []
    for line in pathlib.Path(run, "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        names = {"loss": "loss/train", "l2_penalty": "l2_penalty", "learning_rate": "learning_rate"}
        if record["kind"] == "evaluation":
            names = {"validation_loss": "loss/validation", "validation_accuracy": "accuracy/validation"}
            if config(run)["ema"] > 0:
                names |= {"average_loss": "loss/average", "average_accuracy": "accuracy/average"}
        for key, tag in names.items():
            for replica, number in enumerate(record[key]):
                suffix = f"/network-{replica}" if replicas > 1 else ""
                expected.append((record["step"], tag + suffix, float32(number)))
    found = [(event.step, value.tag, value.simple_value) for event, value in values(run) if value.HasField("simple_value")]
    assert sorted(found) == sorted(expected) and len(found) > 10, run


def check_histograms(run, replicas):
    expected = {}
    for group in ("parameters", "gradients"):
        for name, size in shapes(run).items():
            for replica in range(replicas):
                expected[f"{group}/{name}" + (f"/network-{replica}" if replicas > 1 else "")] = size
    evaluations = {event.step for event, value in values(run) if value.tag.startswith("loss/validation")}
    found = [(event.step, value.tag, value.histo) for event, value in values(run) if value.HasField("histo")]
    assert {(step, tag) for step, tag, _ in found} == {(step, tag) for step in evaluations for tag in expected}, run
    assert len(found) == len(evaluations) * len(expected) > 0, run
    for _, tag, histogram in found:
        assert histogram.num == sum(histogram.bucket) == expected[tag], (tag, histogram.num, expected[tag])
        limits = list(histogram.bucket_limit)
        assert len(limits) == len(histogram.bucket) and limits == sorted(limits) and limits[-1] == histogram.max
        assert histogram.min <= histogram.sum / histogram.num <= histogram.max
        assert histogram.sum_squares >= 0


def unfiltered(png):
    """The pixels of a PNG file in grey, 8 bits each."""
    width, height, *kind = struct.unpack(">IIBBBBB", png[16:29])
    assert kind == [8, 0, 0, 0, 0]
    packed = b""
    at = 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + size]
        at += 12 + size
    lines = zlib.decompress(packed)
    assert len(lines) == height * (width + 1)
    above = bytes(width)
    pixels = b""
    for line in range(0, len(lines), width + 1):
        row = bytearray()
        for i, value in enumerate(lines[line + 1 : line + 1 + width]):
            a, b, c = row[i - 1] if i else 0, above[i], above[i - 1] if i else 0
            nearest = min((a, b, c), key=lambda byte: abs(a + b - c - byte))
            row.append(value + (0, a, b, (a + b) // 2, nearest)[lines[line]] & 0xFF)
        above = bytes(row)
        pixels += above
    return pixels


def check_picture(run):
    """Of augmentation, right after the hyperparameters."""
    places = enumerate(events(run))
    found = [(place, event.step, value) for place, event in places for value in event.summary.value if value.HasField("image")]
    if config(run)["augment"] == "none":
        assert not found, run
        return
    ((place, step, value),) = found
    assert (place, step, value.tag, value.image.colorspace) == (2, 0, "augmented", 1)
    assert (value.image.height, value.image.width) == (2 + 10 * 30, 2 + 11 * 30)
    report = subprocess.run([program, "report", run, "--out", "page.html"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if report.returncode and "this build makes no reports" in report.stderr:
        return
    page = pathlib.Path("page.html").read_text()
    document = json.loads(page.split('id="report-data">')[1].split("</script>")[0])
    ((tile,),) = [block["tiles"] for section in document["sections"] for block in section["blocks"] if block.get("id") == "augmented"]
    assert base64.b64decode(tile["pixels"]) == unfiltered(value.image.encoded_image_string)


def check_session(run, status):
    found = events(run)
    assert found[0].file_version == "brain.Event:2"
    assert [event.file_version for event in found[1:]] == [""] * (len(found) - 1)
    assert abs(found[0].wall_time - time.time()) < 3600
    (first,), (last,) = found[1].summary.value, found[-1].summary.value
    assert (first.tag, last.tag) == ("_hparams_/session_start_info", "_hparams_/session_end_info")
    start, end = session(first).session_start_info, session(last).session_end_info
    assert end.status == status and end.end_time_secs >= start.start_time_secs > 0
    expected = {key: value for key, value in config(run).items() if key not in ("version", "log")}
    assert {key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()} == expected
    kinds = {key: value.WhichOneof("kind") for key, value in start.hparams.items()}
    assert (kinds["batch_norm"], kinds["epochs"], kinds["hidden"]) == ("bool_value", "number_value", "string_value")


def check_kill():
    """A run that is killed at any time after its second checkpoint."""
    flags = ["--hidden", "4", "--batch-norm", "--optimizer", "adam", "--epochs", "20", "--patience", "none"]
    flags += ["--ema", "0.99", "--shift", "1", "--log", "tensorboard"]
    train("whole", *flags)
    process = subprocess.Popen(
        [program, "train", *training, *flags, "--checkpoint-every", "50", "--out", "killed"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    while not pathlib.Path("killed/checkpoint-previous.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the training ended before it was killed"
    killed = pathlib.Path("killed", events_name)
    with killed.open("ab") as file:
        file.write(b"half a rec")  # as a kill in the middle of writing may leave
    shutil.copytree("killed", "cut")
    shutil.copytree("killed", "missing")
    shutil.copytree("killed", "silent")
    result = handgrad("train", "--resume", "killed")
    assert "going on after step" in result.stdout and "warning" not in result.stderr, result
    assert timeless("killed") == timeless("whole")
    assert killed.stat().st_size == pathlib.Path("whole", events_name).stat().st_size


def check_lost_events():
    """Of a file that is shorter than at the checkpoint, whole records are kept, and others follow."""
    cut = pathlib.Path("cut", events_name)
    with cut.open("r+b") as file:
        file.truncate(700)
    pathlib.Path("missing", events_name).unlink()
    whole = timeless("whole")
    for run in ("cut", "missing"):
        result = handgrad("train", "--resume", run)
        assert result.stderr.count("has lost events") == 1, result
        found = timeless(run)
        kept = 1 if run == "cut" else 3  # where all are lost, the file begins as every file does
        assert found[:kept] == whole[:kept] and len(found) < len(whole), run
        assert found[kept:] == whole[-(len(found) - kept) :], run


def check_told_otherwise():
    """--log none stops the log, which --log takes up again; what was not logged is missing in between."""
    file = pathlib.Path("silent", events_name)
    handgrad("train", "--resume", "silent", "--log", "none")
    assert "log" not in config("silent")
    before = timeless("silent")
    assert before == timeless("whole")[: len(before)]
    handgrad("train", "--resume", "silent", "--log", "tensorboard", "--epochs", "21")
    assert timeless("silent")[: len(before)] == before and len(timeless("silent")) > len(before)
    train("silent", "--epochs", "1", "--overwrite")
    assert not file.exists() and "log" not in config("silent")


def check_lost_numbers():
    """Numbers that are not finite are in no histogram, and the training has failed."""
    result = train("lost", "--hidden", "none", "--learning-rate", "1e30", "--evaluate-every", "1", "--log", "tensorboard", code=1)
    assert "finite" in result.stderr
    (last,) = events("lost")[-1].summary.value
    assert session(last).session_end_info.status == messages.STATUS_FAILURE
    for _, value in values("lost"):
        if value.HasField("histo"):
            assert value.histo.num == sum(value.histo.bucket)
    assert any(value.histo.num == 0 for _, value in values("lost") if value.HasField("histo"))


def check_refused():
    for word in ("wandb", "tensorboard,wandb", "tensorboard,none", "none,", "Tensorboard"):
        result = train("refused", "--log", word, code=2)
        assert result.stderr == f"handgrad: --log: got {word}; must be tensorboard, or none\n", result.stderr
        assert not pathlib.Path("refused").exists()


for name, flags in networks.items():
    train(name, *flags, "--log", "tensorboard")
    replicas = config(name)["replicas"]
    check_scalars(name, replicas)
    check_histograms(name, replicas)
    check_picture(name)
    check_session(name, messages.STATUS_SUCCESS)
    train("bare", *flags)
    assert not pathlib.Path("bare", events_name).exists()
    for file in ("metrics.jsonl", "model.pt"):
        assert pathlib.Path("bare", file).read_bytes() == pathlib.Path(name, file).read_bytes(), (name, file)
    shutil.rmtree("bare")
check_kill()
check_lost_events()
check_told_otherwise()
check_lost_numbers()
check_refused()
print(f"passed: the event files of {len(list(pathlib.Path().glob(f'*/{events_name}')))} runs")

"""Exports networks in every format and has other programs run them on the test images: each must give the classes that
`handgrad evaluate` and `predict` give, and probabilities within 1e-5 of theirs. Files that Python wrote must be read back.

Arguments: the handgrad program, a directory for what npm fetches. Data: MNIST_DIR, without which it exits 77, "skipped". That
it does too where npm fetches nothing, after everything but ONNX."""

import collections
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

import numpy
import onnx
import torch
from torch import nn

program = os.path.realpath(sys.argv[1])
node_directory = pathlib.Path(sys.argv[2]).resolve()
tests = pathlib.Path(__file__).resolve().parent
readers = tests.parent / "app" / "export" / "readers"
data = os.environ.get("MNIST_DIR")
if not data:
    print("skipped: MNIST_DIR, the directory with the four MNIST files, is not set")
    sys.exit(77)
data = os.path.realpath(data)
torch.set_num_threads(1)


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    assert result.returncode == 0, (command, result.returncode, result.stdout, result.stderr)
    return result.stdout


def handgrad(*arguments):
    return run(program, *arguments, env={**os.environ, "NODE_PATH": str(node_directory / "node_modules")})


def refused(part, *arguments):
    """One line on stderr with this part, exit code 1."""
    result = subprocess.run([program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and part in result.stderr, (arguments, result)


def read_idx(path, header):
    content = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    return numpy.frombuffer(content, numpy.uint8, offset=header)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.astype(numpy.uint8).tobytes())


class Images:
    """Test images, and their files as `predict` and the readers want them."""

    def __init__(self, directory, data_directory, shape):
        self.data = data_directory
        self.shape = shape
        self.bytes = read_idx(pathlib.Path(data_directory) / "t10k-images-idx3-ubyte", 16).reshape(-1, *shape)
        self.labels = read_idx(pathlib.Path(data_directory) / "t10k-labels-idx1-ubyte", 8)
        self.idx = directory / f"{pathlib.Path(data_directory).name}.idx"
        self.raw = directory / f"{pathlib.Path(data_directory).name}.raw"
        write_idx(self.idx, self.bytes)
        self.raw.write_bytes(self.bytes.tobytes())

    def predictions(self, model, *flags):
        lines = handgrad("predict", model, self.idx, "--json", *flags).splitlines()
        return numpy.array([json.loads(line)["probabilities"] for line in lines])


def with_torchscript(file, images, output):
    extra = {"metadata.json": ""}
    model = torch.jit.load(str(file), _extra_files=extra)
    metadata = json.loads(extra["metadata.json"])
    assert metadata["test_accuracy"] == repr(model.test_accuracy), metadata
    assert metadata["training_config"] == model.training_config and "learning_rate" in json.loads(model.training_config)
    assert (model.rows, model.columns) == images.shape
    pixels = torch.from_numpy(images.bytes.copy())
    inputs = [pixels.unsqueeze(1), pixels.flatten(1), pixels.unsqueeze(1).float() / 255, pixels.flatten(1).double() / 255]
    with torch.no_grad():
        results = [model(i) for i in inputs]
    for other in results[1:]:
        assert (other - results[0]).abs().max() <= 1e-5
    results[0].numpy().astype("<f4").tofile(output)
    return f"PyTorch {torch.__version__}"


def with_python(model_format):
    def read(file, images, output):
        return run(sys.executable, readers / "read_model.py", model_format, file, images.raw, output, *images.shape)

    return read


def with_onnxruntime(file, images, output):
    onnx.checker.check_model(str(file), full_check=True)
    model = onnx.load(str(file))
    assert [opset.version for opset in model.opset_import] == [13]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert ("test_accuracy" in metadata) != (metadata.get("quantised") == "int8"), metadata
    script = (readers / "read_onnx.js").read_text()
    return run("node", "-e", script, "--", file, images.raw, output, *images.shape, cwd=node_directory)


def with_page(file, images, output):
    return run("node", "-e", (readers / "read_page.js").read_text(), "--", file, images.raw, output)


def with_compiler(file, images, output):
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    with tempfile.TemporaryDirectory() as scratch:
        command = [*strict, "-O2", f'-DHEADER="{file.resolve()}"', f"-DPREFIX={file.stem}", readers / "run_header.c", "-lm"]
        run("gcc", "-std=c99", *command, "-o", f"{scratch}/run_header")
        run(f"{scratch}/run_header", images.raw, output)
        # It is C++ as well.
        source = pathlib.Path(scratch) / "header.cpp"
        source.write_text(f'#include "{file.resolve()}"\nint main() {{ return 0; }}\n')
        run("g++", "-std=c++11", *strict, "-fsyntax-only", source)
    return run("gcc", "--version").splitlines()[0]


formats = {
    "torchscript": (".pt", with_torchscript),
    "state-dict": (".state_dict.pt", with_python("state-dict")),
    "safetensors": (".safetensors", with_python("safetensors")),
    "onnx": (".onnx", with_onnxruntime),
    "c-header": (".h", with_compiler),
    "html": (".html", with_page),
}


def check(name, run_directory, images, directory, model_format, flags, expected, labels_right):
    ending, read = formats[model_format]
    file = directory / f"exported{ending}"
    said = handgrad("export", run_directory, "--format", model_format, "--output", file, "--verify", "--force", *flags)
    assert re.search(r"read by .+\n.+ 0 changed classes", said), said
    output = directory / "probabilities"
    reader = read(file, images, output)
    probabilities = numpy.fromfile(output, "<f4").reshape(expected.shape)
    output.unlink()
    difference = abs(probabilities - expected).max()
    classes = probabilities.argmax(1)
    print(f"{name}, {model_format} {' '.join(flags)}: largest difference {difference:.1e}; {reader.strip()}", flush=True)
    assert difference <= 1e-5, difference
    assert (classes == expected.argmax(1)).all()
    assert (classes == images.labels).sum() == labels_right, (classes == images.labels).sum()
    return file


def check_run(name, run_directory, images, directory, replica="0", batch_norm=False, chosen_formats=tuple(formats)):
    """The formats of one network, and of a network with batch norm also without it."""
    expected = images.predictions(run_directory, "--replica", replica)
    evaluation = json.loads(handgrad("evaluate", run_directory, "--replica", replica, "--data", images.data, "--json"))
    right = round(evaluation["accuracy"] * evaluation["count"])
    assert evaluation["count"] == len(images.labels)
    for flags in [[], ["--fold-batch-norm"]] if batch_norm else [[]]:
        for model_format in filter(formats.get, chosen_formats):
            if model_format == "html" and flags:
                continue  # tells nothing new of a page, and takes time
            chosen = ["--replica", replica] if replica != "0" else []
            file = check(name, run_directory, images, directory, model_format, [*chosen, *flags], expected, right)
            if model_format in ("state-dict", "safetensors"):
                again = json.loads(handgrad("evaluate", "--model", file, "--data", images.data, "--json"))
                assert round(again["accuracy"] * again["count"]) == right, again


def check_int8(name, run_directory, images, directory, largest_loss):
    """The quantised network in C, by each compiler and without a warning: the accuracy that handgrad reports, and hardly less."""
    file, output = directory / "quantised.h", directory / "probabilities"
    evaluation = json.loads(handgrad("evaluate", run_directory, "--data", images.data, "--json"))
    flags = ["--format", "c-header", "--quantise", "int8", "--output", file, "--force", "--verify"]
    said = handgrad("export", run_directory, *flags)
    percent = re.search(r"the same logits as here, to the bit\n.+ accuracy (\S+) % \(before (\S+) %\)", said)
    assert percent and f"{100 * evaluation['accuracy']:.2f}" == percent[2], said
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic"]
    code = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.DOTALL)
    kernels = code[code.index("_sum(") : code.index("_class_of_bytes(")].partition("_deskew(")[0]
    assert not re.search(r"float|double|[/%]", kernels), kernels
    for compiler in filter(shutil.which, ("gcc", "clang")):
        command = [compiler, *strict, "-O2", f'-DHEADER="{file}"', "-DPREFIX=quantised", "-DINT8", readers / "run_header.c", "-lm"]
        run(*command, "-o", directory / "run_header")
        run(directory / "run_header", images.raw, output)
        logits = numpy.fromfile(output, "<f4").reshape(len(images.labels), -1)
        accuracy = (logits.argmax(1) == images.labels).mean()
        print(f"{name}, int8, {compiler}: accuracy {accuracy:.4f}, before {evaluation['accuracy']:.4f}", flush=True)
        assert f"{100 * accuracy:.2f}" == percent[1], (accuracy, said)
        assert accuracy >= evaluation["accuracy"] - largest_loss, (accuracy, evaluation)
    source = directory / "header.cpp"
    source.write_text(f'#include "{file}"\nint main() {{ return 0; }}\n')
    run("g++", "-std=c++11", *strict[1:], "-fsyntax-only", source)
    if "onnx" in formats:
        check_int8_onnx(name, run_directory, images, directory, logits)


def check_int8_onnx(name, run_directory, images, directory, logits):
    """The same integers in ONNX: the logits' probabilities, but where float32 rounds a byte the other way."""
    file, output = directory / "quantised.onnx", directory / "probabilities"
    flags = ["--format", "onnx", "--quantise", "int8", "--output", file, "--force", "--verify"]
    assert re.search(r"differences of probabilities .+ changed classes\n", handgrad("export", run_directory, *flags))
    nodes = collections.Counter(node.op_type for node in onnx.load(str(file)).graph.node)
    assert nodes["QuantizeLinear"] == nodes["Gemm"] and nodes["DequantizeLinear"] >= 2 * nodes["Gemm"] + 1, nodes
    with_onnxruntime(file, images, output)
    probabilities = numpy.fromfile(output, "<f4").reshape(logits.shape)
    powers = numpy.exp(logits.astype(numpy.float64) - logits.max(1, keepdims=True))
    difference = abs(probabilities - powers / powers.sum(1, keepdims=True))
    changed = (probabilities.argmax(1) != logits.argmax(1)).sum()
    print(f"{name}, int8, ONNX: {(difference.max(1) > 1e-5).sum()} images with another byte, {changed} changed classes", flush=True)
    assert difference.mean() <= 1e-4 and changed <= len(logits) // 1000, (difference.mean(), changed)


def check_ensemble(name, run_directory, images, directory, batch_norm=False):
    members = [images.predictions(run_directory, "--replica", r) for r in range(5)]
    expected = numpy.mean(members, 0)
    right = (expected.argmax(1) == images.labels).sum()
    flags = ["--replica", "ensemble"]
    if batch_norm:
        check(name, run_directory, images, directory, "torchscript", [*flags, "--fold-batch-norm"], expected, right)
    file = check(name, run_directory, images, directory, "torchscript", flags, expected, right)
    said = handgrad("export", run_directory, "--format", "torchscript", *flags, "--output", file, "--force")
    mean = numpy.mean([(member.argmax(1) == images.labels).mean() for member in members])
    gain = 100 * ((expected.argmax(1) == images.labels).mean() - mean)
    print(f"{name}: {said.splitlines()[1].strip()}")
    assert f"({gain:+.2f} points)" in said, (gain, said)


def check_round_trip(run_directory, images, directory):
    first, second = directory / "first.safetensors", directory / "second.safetensors"
    handgrad("export", run_directory, "--format", "safetensors", "--output", first, "--force")
    handgrad("train", "--init", first, "--data", images.data, "--epochs", "0", "--out", directory / "again")
    handgrad("export", directory / "again", "--format", "safetensors", "--output", second, "--force")
    assert first.read_bytes() == second.read_bytes()
    shutil.rmtree(directory / "again")


def python_model(batch_norm, dtype=torch.float32):
    torch.manual_seed(3)
    layers = []
    for fan_in, fan_out in ((784, 20), (20, 7)):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()] + ([nn.BatchNorm1d(fan_out)] if batch_norm else [])
    model = nn.Sequential(*layers, nn.Linear(7, 10)).to(dtype)
    for layer in model:
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.uniform_(layer.weight), nn.init.normal_(layer.bias)
            layer.running_mean.normal_(), layer.running_var.uniform_(0.5, 2)
    return model.eval()


def save_safetensors(state, path, metadata=None):
    """By the description of the format alone."""
    header, body = {"__metadata__": metadata or {"written_by": "a test"}}, b""
    names = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    for name, tensor in state.items():
        values = tensor.contiguous().reshape(-1)
        values = values.view(torch.int16) if tensor.dtype is torch.bfloat16 else values
        content = values.numpy().tobytes()
        offsets = [len(body), len(body) + len(content)]
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        body += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def check_files_of_python(images, directory):
    """State dicts and safetensors files that Python wrote are evaluated, and trained on."""
    pixels = torch.from_numpy(images.bytes.reshape(len(images.labels), -1).copy())
    cases = [(b, d) for b in (False, True) for d in (torch.float32, torch.float64, torch.bfloat16)]
    for batch_norm, dtype in cases:
        model = python_model(batch_norm, dtype)
        with torch.no_grad():
            # Read as float32, which holds every bfloat16 number.
            expected = torch.softmax(model.to(torch.float32)(pixels.float() / 255), 1).numpy()
        model = python_model(batch_norm, dtype)
        state = model.state_dict()
        shared = torch.cat([t.reshape(-1) for t in state.values() if t.is_floating_point()])
        views, begin = {}, 0
        for key, tensor in state.items():
            if tensor.is_floating_point():
                views[key] = shared[begin : begin + tensor.numel()].view(tensor.shape)
                begin += tensor.numel()
        columns_first = {key: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for key, tensor in state.items()}
        files = {"plain": state, "one storage": views, "columns first": columns_first, "parameters": dict(model.named_parameters())}
        if batch_norm:
            del files["parameters"]  # has no running statistics
        if dtype is not torch.float32:
            files = {"plain": state}
        for kind, contents in files.items():
            file = directory / "python.pt"
            torch.save(contents, file)
            difference = abs(images.predictions(file) - expected).max()
            assert difference <= 1e-5, (batch_norm, dtype, kind, difference)
        save_safetensors(state, directory / "python.safetensors")
        assert abs(images.predictions(directory / "python.safetensors") - expected).max() <= 1e-5
        print(f"written by Python, batch norm {batch_norm}, {dtype}: read", flush=True)
    handgrad("train", "--init", directory / "python.pt", "--data", images.data, "--epochs", "0", "--out", directory / "init")
    after = images.predictions(directory / "init")
    assert abs(after - expected).max() <= 1e-5
    config = json.loads((directory / "init" / "config.json").read_text())
    assert config["hidden"] == "20,7" and config["batch_norm"] is True, config
    # The settings of that run begin with the same file again.
    handgrad("train", "--config", directory / "init" / "config.json", "--out", directory / "init-again")
    assert (images.predictions(directory / "init-again") == after).all()
    # One epoch from there is not one epoch from random weights, and is better than none.
    handgrad("train", "--init", directory / "python.pt", "--data", images.data, "--epochs", "1", "--out", directory / "trained")
    summary = json.loads((directory / "trained" / "summary.json").read_text())["replicas"][0]
    assert summary["test"]["accuracy"] > (expected.argmax(1) == images.labels).mean() + 0.1, summary


class Numbered(nn.Module):
    """fc1, fc2, … with ReLU between them, and bn1, … after that."""

    def __init__(self, *widths, batch_norm=False):
        super().__init__()
        self.layers = len(widths) - 1
        self.batch_norm = batch_norm
        for i in range(self.layers):
            setattr(self, f"fc{i + 1}", nn.Linear(widths[i], widths[i + 1]))
        for i in range(self.layers - 1 if batch_norm else 0):
            setattr(self, f"bn{i + 1}", nn.BatchNorm1d(widths[i + 1]))

    def forward(self, x):
        for i in range(1, self.layers):
            x = torch.relu(getattr(self, f"fc{i}")(x))
            x = getattr(self, f"bn{i}")(x) if self.batch_norm else x
        return getattr(self, f"fc{self.layers}")(x)


class Wrapped(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def randomised(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight), nn.init.normal_(module.bias)
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    return model.eval()


def check_names_of_python(images, directory):
    """Networks under the names and in the dicts that others save them, read where they mean one thing only."""
    torch.manual_seed(5)
    file = directory / "named.pt"
    pixels = torch.from_numpy(images.bytes.reshape(len(images.labels), -1).copy()).float() / 255
    linear, relu = nn.Linear, nn.ReLU
    behind_flatten = nn.Sequential(nn.Flatten(), linear(784, 20), relu(), linear(20, 7), relu(), linear(7, 10))
    numbered = Numbered(784, 20, 20, 10)
    normal = Numbered(784, 20, 20, 10, batch_norm=True)
    wrapped = Wrapped(nn.Sequential(linear(784, 20), relu(), nn.BatchNorm1d(20), linear(20, 10)))
    chain = Wrapped(nn.Sequential(linear(784, 9), relu(), nn.Sequential(linear(9, 9), relu()), linear(9, 10)))
    optimizer = torch.optim.Adam(numbered.parameters())
    numbered(pixels[:8]).sum().backward()
    optimizer.step()
    compiled = {f"_orig_mod.module.{name}": tensor for name, tensor in behind_flatten.state_dict().items()}
    others = {"epoch": 3, "best": 0.5, "args": {"lr": 1e-3, "betas": (0.9, 0.99)}, "rng": torch.get_rng_state(), "classes": ["0", "1"]}
    others["optimizer_state_dict"] = optimizer.state_dict()
    deep = Numbered(784, *[20] * 10, 10)
    alone = linear(784, 10)
    layers = {"input": linear(784, 64), "1": relu(), "hidden1": linear(64, 64), "2": relu(), "hidden2": linear(64, 64), "3": relu()}
    named = nn.Sequential(collections.OrderedDict(layers, output=linear(64, 10)))
    dropout = nn.Sequential(linear(784, 20), relu(), nn.Dropout(), linear(20, 10), nn.LogSoftmax(1))
    before = nn.Sequential(linear(784, 20), nn.BatchNorm1d(20), relu(), linear(20, 10))
    cases = {
        "nn.Flatten first": (behind_flatten, behind_flatten.state_dict()),
        "nn.Dropout, nn.LogSoftmax": (dropout, dropout.state_dict()),
        "nn.Linear alone": (alone, alone.state_dict()),
        "fc1, fc2, fc3": (numbered, numbered.state_dict()),
        "fc1, bn1, …": (normal, normal.state_dict()),
        "nn.BatchNorm1d before nn.ReLU": (before, before.state_dict()),
        "fc1 … fc11, sorted as text": (deep, dict(sorted(deep.state_dict().items()))),
        "last layer first": (numbered, dict(reversed(numbered.state_dict().items()))),
        "input, hidden1, hidden2, output": (named, dict(sorted(named.state_dict().items()))),
        "a module in a module": (wrapped, wrapped.state_dict()),
        "net.2.0": (chain, chain.state_dict()),
        "compiled": (behind_flatten, compiled),
        "state_dict": (normal, {"state_dict": normal.state_dict(), "arch": "mlp", "best_acc1": 91.5}),
        "model": (numbered, {"model": numbered.state_dict()}),
        "a checkpoint": (numbered, {"model_state_dict": numbered.state_dict(), **others}),
        "nested twice": (wrapped, {"states": {"model": wrapped.state_dict()}, "scheduler": {"last_epoch": 3}}),
    }
    for name, (model, contents) in cases.items():
        randomised(model)
        with torch.no_grad():
            expected = torch.softmax(model(pixels), 1).numpy()
        torch.save(contents, file)
        difference = abs(images.predictions(file) - expected).max()
        assert difference <= 1e-5, (name, difference)
        if all(isinstance(entry, torch.Tensor) for entry in contents.values()):
            save_safetensors(dict(sorted(contents.items())), directory / "named.safetensors")
            assert abs(images.predictions(directory / "named.safetensors") - expected).max() <= 1e-5, name
        print(f"written by Python, {name}: read, largest difference {difference:.1e}", flush=True)

    odd = dict(numbered.state_dict(), scale=torch.ones(3))
    somewhere = nn.Sequential(linear(784, 20), nn.Dropout(), nn.BatchNorm1d(20), relu(), linear(20, 10))
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), linear(2704, 10))
    swapped = Numbered(784, 20, 20, 20, 10).state_dict()
    swapped = {f"fc{i}.{leaf}": swapped[f"fc{i}.{leaf}"] for i in (1, 3, 2, 4) for leaf in ("weight", "bias")}
    for contents, part in (
        (nn.Sequential(linear(784, 20, bias=False), relu(), linear(20, 10)).state_dict(), "0.weight is there without 0.bias"),
        (convolution.state_dict(), "0.weight has 4 axes"),
        (odd, "scale belongs to no Linear layer and no batch norm; found: fc1.weight [20 × 784], fc1.bias [20], "),
        (somewhere.state_dict(), "between 2.weight and 4.weight there is room for the ReLU, and in front of 2.weight there is too"),
        (nn.ModuleList([linear(784, 20), linear(20, 10)]).state_dict(), "between 0.weight and 1.weight there is no room"),
        (swapped, "as they stand in the file, fc1.weight, fc3.weight"),
        (nn.ModuleDict({name: linear(20, 20) for name in "abc"}).state_dict(), "its Linear layers can stand in more than one order"),
        ({"model": numbered.state_dict(), "ema": normal.state_dict()}, "it has several: model, ema"),
        ({"model": dict(numbered.state_dict(), epoch=3)}, "the entry epoch is no tensor"),
        ({"w": {"W1": torch.ones(20, 784)}, "epoch": 3}, "found: epoch [no tensor], w.W1 [20 × 784]"),
        ({"W1": torch.ones(10, 784), "b1": torch.ones(10)}, "W1 belongs to no Linear layer"),
        ({"model": numbered}, "__main__.Numbered"),
    ):
        torch.save(contents, file)
        refused(part, "evaluate", file, "--data", images.data)
    # What begins with a file says so, by its SHA-256; what keeps the network of a file says what the file says.
    torch.save(cases["a checkpoint"][1], file)
    for epochs in ("0", "1"):
        handgrad("train", "--init", file, "--data", images.data, "--epochs", epochs, "--out", directory / f"begun-{epochs}")
        exported = directory / "begun.safetensors"
        handgrad("export", directory / f"begun-{epochs}", "--format", "safetensors", "--output", exported, "--force")
        content = exported.read_bytes()
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        config = json.loads(metadata["training_config"])
        assert config["init_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest() and config["hidden"] == "20,20", config


def check_hostile_metadata(images, directory):
    """What a file says of itself is not compiled into a program."""
    marker = directory / "hostile"
    code = f'int system(const char *); __attribute__((constructor)) static void hostile(void) {{ system("touch {marker}"); }}'
    for ending in ("*/", "*\\\n/", "*??/\n/"):
        file = directory / "hostile.safetensors"
        metadata = {"training_config": f"{ending}\n{code}\n/*"}
        save_safetensors(python_model(False).state_dict(), file, metadata)
        header = directory / "hostile.h"
        flags = ["--format", "c-header", "--output", header, "--force", "--verify", "--data", images.data]
        result = subprocess.run([program, "export", file, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert result.returncode == 0 and not marker.exists(), (ending, result)
    save_safetensors(python_model(False).state_dict(), file, {"training_config": "</script><script>hostile()</script><!--"})
    page = directory / "hostile.html"
    handgrad("export", file, "--format", "html", "--output", page, "--force", "--data", images.data)
    assert "<script>hostile" not in page.read_text() and "hostile()" in page.read_text()


def check_hostile_files(images, directory):
    marker = directory / "hostile"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    file = directory / "hostile.pt"
    torch.save({"0.weight": Hostile()}, file)
    commands = [
        ["evaluate", file, "--data", images.data],
        ["predict", file, images.idx],
        ["train", "--init", file, "--data", images.data, "--out", directory / "never"],
        ["export", file, "--format", "onnx", "--output", directory / "never.onnx"],
    ]
    for command in commands:
        refused("it names posix.system, which such a dict has no need of", *command)
    assert not marker.exists()
    assert not (directory / "never").exists() and not (directory / "never.onnx").exists()
    for contents, part in (
        ([torch.ones(3)], "what it holds is no dict"),
        (python_model(False), "torch.nn.modules.container.Sequential"),
        (nn.Sequential(nn.Linear(784, 10), nn.BatchNorm1d(10)).state_dict(), "has 1 batch norm for 0 hidden layers"),
        ({"0.weight": torch.full((10, 784), torch.nan), "0.bias": torch.ones(10)}, "not finite"),
        ({"0.weight": torch.ones(1).expand(10, 784), "0.bias": torch.ones(10)}, "beyond its storage"),
        (nn.Sequential(nn.Linear(783, 10)).state_dict(), "takes 1 × 783 images"),
    ):
        torch.save(contents, file)
        refused(part, "evaluate", file, "--data", images.data)
    torch.save(python_model(False).state_dict(), file, _use_new_zipfile_serialization=False)
    refused("is no model file", "evaluate", file, "--data", images.data)
    torch.save(python_model(False).state_dict(), file)
    refused("holds 784-20-7-10, but flags and data ask for 784-30-10", "train", "--init", file, "--data", images.data, "--hidden", "30")
    whole = file.read_bytes()
    for length in (10, 100, len(whole) // 2, len(whole) - 10):
        file.write_bytes(whole[:length])
        refused("damaged file of torch.save", "evaluate", file, "--data", images.data)
    # A file that unpacks to far more than it is, and one whose tensors are many times their storage.
    bomb = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
    bomb.writestr("a/data.pkl", bytes(10**8))
    bomb.close()
    refused("its data.pkl is compressed", "evaluate", file, "--data", images.data)
    shared = torch.ones(10**5)
    torch.save({f"{i}.x": shared for i in range(300)}, file)
    refused("larger than the file", "evaluate", file, "--data", images.data)
    print("hostile and damaged files: refused", flush=True)


def write_odd_data(directory):
    """1,500 training and 700 test images of 9 × 11 pixels in 3 classes."""
    generator = numpy.random.default_rng(5)
    directory.mkdir()
    for part, count in (("train", 1500), ("t10k", 700)):
        labels = generator.integers(0, 3, count)
        images = generator.integers(0, 200, (count, 9, 11))
        for c in range(3):
            images[labels == c, :, c * 3 : c * 3 + 3] += 55
        write_idx(directory / f"{part}-images-idx3-ubyte", images)
        write_idx(directory / f"{part}-labels-idx1-ubyte", labels)


def write_few_data(directory):
    """The first images of MNIST: enough for what is about files and names, whose every case reads all test images several times."""
    directory.mkdir()
    for part, count in (("train", 10_000), ("t10k", 1_000)):
        images = read_idx(pathlib.Path(data) / f"{part}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
        write_idx(directory / f"{part}-images-idx3-ubyte", images[:count])
        write_idx(directory / f"{part}-labels-idx1-ubyte", read_idx(pathlib.Path(data) / f"{part}-labels-idx1-ubyte", 8)[:count])


def install_onnxruntime():
    """Why it cannot be had, or nothing."""
    node_directory.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(tests / "onnx" / name, node_directory)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        result = subprocess.run(command, cwd=node_directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        return "npm is not installed"
    return f"npm ci failed ({result.returncode}): {result.stdout.strip()}" if result.returncode else ""


no_onnxruntime = install_onnxruntime()
if no_onnxruntime:
    del formats["onnx"]
if not shutil.which("node"):
    del formats["html"]
with tempfile.TemporaryDirectory() as scratch:
    directory = pathlib.Path(scratch)
    mnist = Images(directory, data, (28, 28))
    write_few_data(directory / "few")
    few = Images(directory, directory / "few", (28, 28))
    one, five = directory / "one", directory / "five"
    for batch_norm in (False, True):
        name = "batch norm" if batch_norm else "plain"
        flags = ["--batch-norm"] if batch_norm else []
        handgrad("train", "--data", data, "--epochs", "2", "--out", one, "--overwrite", *flags)
        check_run(f"{name}, one network", one, mnist, directory, batch_norm=batch_norm)
        check_int8(f"{name}, one network", one, mnist, directory, 0.003)
        check_round_trip(one, mnist, directory)
        handgrad("train", "--data", few.data, "--epochs", "2", "--replicas", "5", "--out", five, "--overwrite", *flags)
        check_run(f"{name}, one of five", five, few, directory, "3", batch_norm, ("torchscript", "safetensors"))
        check_ensemble(f"{name}, ensemble of five", five, few, directory, batch_norm)
    for flags in (
        ["--activation", "leaky-relu", "--batch-norm"],
        ["--activation", "leaky-relu", "--batch-norm", "before"],
        ["--activation", "tanh", "--batch-norm"],
    ):
        handgrad("train", "--data", few.data, "--epochs", "8", "--out", one, "--overwrite", *flags)
        check_run(" ".join(flags), one, few, directory, "0", True, ("torchscript", "safetensors", "onnx", "c-header", "html"))
        check_int8(" ".join(flags), one, few, directory, 0.01)
    flags = ["--activation", "tanh", "--batch-norm", "before", "--deskew", "--standardise"]
    handgrad("train", "--data", data, "--epochs", "1", "--out", one, "--overwrite", *flags)
    check_run(" ".join(flags), one, mnist, directory, batch_norm=True)
    check_int8(" ".join(flags), one, mnist, directory, 0.003)
    check_round_trip(one, mnist, directory)  # which deskews again without being told
    check_files_of_python(few, directory)
    check_names_of_python(few, directory)
    check_hostile_files(few, directory)
    check_hostile_metadata(few, directory)

    write_odd_data(directory / "odd")
    odd = Images(directory, directory / "odd", (9, 11))
    for hidden in ("6", "none"):
        handgrad("train", "--data", odd.data, "--hidden", hidden, "--epochs", "3", "--out", directory / "run", "--overwrite", "--batch-norm", "--deskew")
        check_run(f"deskewed 9 × 11 pixels, 3 classes, hidden {hidden}", directory / "run", odd, directory, batch_norm=hidden != "none")
        check_int8(f"deskewed 9 × 11 pixels, 3 classes, hidden {hidden}", directory / "run", odd, directory, 0.01)
    handgrad("train", "--data", odd.data, "--hidden", "6", "--epochs", "3", "--replicas", "5", "--out", directory / "run", "--overwrite", "--deskew")
    check_ensemble("deskewed 9 × 11 pixels, 3 classes, ensemble", directory / "run", odd, directory)
if no_onnxruntime:
    print(f"skipped: ONNX, because {no_onnxruntime}; all else passed")
    sys.exit(77)
print("passed")

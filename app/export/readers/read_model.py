"""Runs a model file on images with readers that are not handgrad's, for `handgrad export --verify`.

Arguments: the format (state-dict, safetensors or onnx), the model file, a file of pixels (a byte each, image after image), a file
for the probabilities (float32), rows and columns of an image. Prints what it read the file with; exits 77 where that is not installed."""

import sys

sys.path = [path for path in sys.path if path]  # not from the current directory

import importlib
import json
import zipfile


def need(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit(77)


model_format, model_file, pixel_file, output_file, rows, columns = sys.argv[1:]
rows, columns = int(rows), int(columns)
python = "Python " + sys.version.split()[0]
numpy = need("numpy")
pixels = numpy.fromfile(pixel_file, numpy.uint8).reshape(-1, rows * columns)
images = pixels.astype(numpy.float32) / numpy.float32(255)


def with_torch():
    torch = need("torch")
    state = torch.load(model_file, map_location="cpu", weights_only=True)
    assert type(state) is dict, type(state)
    archive = zipfile.ZipFile(model_file)
    (metadata,) = [name for name in archive.namelist() if name.endswith("extra/metadata.json")]
    named = json.loads(archive.read(metadata)).get("activation", "relu")
    activation = {"relu": torch.nn.ReLU, "leaky-relu": torch.nn.LeakyReLU, "tanh": torch.nn.Tanh}[named]
    modules = []
    for name, tensor in state.items():
        index, leaf = name.split(".")
        if leaf != "weight":
            continue
        while len(modules) < int(index):
            modules.append(activation())
        modules.append(torch.nn.Linear(*reversed(tensor.shape)) if tensor.dim() == 2 else torch.nn.BatchNorm1d(len(tensor)))
    sequential = torch.nn.Sequential(*modules)
    sequential.load_state_dict(state)
    torch.set_num_threads(1)
    with torch.no_grad():
        probabilities = torch.softmax(sequential.eval()(torch.from_numpy(images)), 1)
    return f"torch.load(weights_only=True) of PyTorch {torch.__version__}, {python}", probabilities.numpy()


def safetensors_file():
    """With the package safetensors, else by the description of the format."""
    with open(model_file, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    activation = header.pop("__metadata__", {}).get("activation", "relu")
    try:
        package = importlib.import_module("safetensors.numpy")
        return f"safetensors and numpy {numpy.__version__}, {python}", package.load_file(model_file), activation
    except ImportError:
        pass
    data = memoryview(content)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", entry
        begin, end = entry["data_offsets"]
        tensors[name] = numpy.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return f"numpy {numpy.__version__}, {python}", tensors, activation


def with_numpy():
    reader, tensors, named = safetensors_file()
    activation = {
        "relu": lambda x: numpy.maximum(x, 0),
        "leaky-relu": lambda x: numpy.where(x > 0, x, numpy.float32(0.01) * x),
        "tanh": numpy.tanh,
    }[named]
    x = images
    indices = sorted(int(name.split(".")[0]) for name in tensors if name.endswith(".weight"))
    for index in range(indices[-1] + 1):
        if index not in indices:  # what has no tensors
            x = activation(x)
            continue
        weight, bias = tensors[f"{index}.weight"], tensors[f"{index}.bias"]
        if weight.ndim == 2:
            x = x @ weight.T + bias
        else:
            mean, variance = tensors[f"{index}.running_mean"], tensors[f"{index}.running_var"]
            x = (x - mean) / numpy.sqrt(variance + numpy.float32(1e-5)) * weight + bias
    x = numpy.exp(x - x.max(1, keepdims=True))
    return reader, x / x.sum(1, keepdims=True)


def with_onnxruntime():
    onnxruntime = need("onnxruntime")
    session = onnxruntime.InferenceSession(model_file, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"images": images.reshape(-1, 1, rows, columns)})
    return f"onnxruntime {onnxruntime.__version__}, {python}", probabilities


reader, probabilities = {"state-dict": with_torch, "safetensors": with_numpy, "onnx": with_onnxruntime}[model_format]()
probabilities.astype("<f4").tofile(output_file)
print(reader)

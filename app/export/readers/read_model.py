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


def deskewed(pixels):
    """Leaning images are set upright, by their second moments, and into the middle: bytes in, bytes out."""
    p = pixels.reshape(-1, rows, columns).astype(numpy.int64)
    x, y = numpy.arange(columns), numpy.arange(rows)
    m = numpy.maximum(p.sum((1, 2)), 1).astype(numpy.float64)
    cx, cy = (p * x).sum((1, 2)) / m, (p * y[:, None]).sum((1, 2)) / m
    xy = (p * (x * y[:, None])).sum((1, 2)) / m - cx * cy
    yy = (p * (y * y)[:, None]).sum((1, 2)) / m - cy * cy
    slant = numpy.clip(xy / numpy.maximum(yy, 1e-6), -1, 1)
    along = slant[:, None] * (y - (rows - 1) / 2) + (cx - (columns - 1) / 2)[:, None]
    along = numpy.floor(256 * along + 0.5).astype(numpy.int64)
    down = numpy.floor(256 * (cy - (rows - 1) / 2) + 0.5).astype(numpy.int64)
    left = (along // 256)[:, :, None] + x
    top = (down // 256)[:, None, None] + y[:, None]
    right, below = (along % 256)[:, :, None], (down % 256)[:, None, None]
    padded = numpy.pad(p, ((0, 0), (1, 1), (1, 1)))  # what lies outside is 0
    image = numpy.arange(len(p))[:, None, None]

    def corner(dx, dy):
        return padded[image, numpy.clip(top + dy + 1, 0, rows + 1), numpy.clip(left + dx + 1, 0, columns + 1)]

    upper = (256 - right) * corner(0, 0) + right * corner(1, 0)
    lower = (256 - right) * corner(0, 1) + right * corner(1, 1)
    return (((256 - below) * upper + below * lower + 32768) // 65536).astype(numpy.uint8).reshape(pixels.shape)


def images_for(metadata):
    """The pixels as the network takes them. In an ONNX file the graph itself deskews."""
    bytes_seen = deskewed(pixels) if metadata.get("deskew") == "true" else pixels
    return bytes_seen.astype(numpy.float32) / numpy.float32(255)


def with_torch():
    torch = need("torch")
    state = torch.load(model_file, map_location="cpu", weights_only=True)
    assert type(state) is dict, type(state)
    archive = zipfile.ZipFile(model_file)
    (metadata_file,) = [name for name in archive.namelist() if name.endswith("extra/metadata.json")]
    metadata = json.loads(archive.read(metadata_file))
    named = metadata.get("activation", "relu")
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
        probabilities = torch.softmax(sequential.eval()(torch.from_numpy(images_for(metadata))), 1)
    return f"torch.load(weights_only=True) of PyTorch {torch.__version__}, {python}", probabilities.numpy()


def safetensors_file():
    """With the package safetensors, else by the description of the format."""
    with open(model_file, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    try:
        package = importlib.import_module("safetensors.numpy")
        return f"safetensors and numpy {numpy.__version__}, {python}", package.load_file(model_file), metadata
    except ImportError:
        pass
    data = memoryview(content)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", entry
        begin, end = entry["data_offsets"]
        tensors[name] = numpy.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return f"numpy {numpy.__version__}, {python}", tensors, metadata


def with_numpy():
    reader, tensors, metadata = safetensors_file()
    activation = {
        "relu": lambda x: numpy.maximum(x, 0),
        "leaky-relu": lambda x: numpy.where(x > 0, x, numpy.float32(0.01) * x),
        "tanh": numpy.tanh,
    }[metadata.get("activation", "relu")]
    x = images_for(metadata)
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
    (probabilities,) = session.run(["probabilities"], {"images": images_for({}).reshape(-1, 1, rows, columns)})
    return f"onnxruntime {onnxruntime.__version__}, {python}", probabilities


reader, probabilities = {"state-dict": with_torch, "safetensors": with_numpy, "onnx": with_onnxruntime}[model_format]()
probabilities.astype("<f4").tofile(output_file)
print(reader)

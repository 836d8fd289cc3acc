// An exported file read back by something that is not this program.
#include "export/verification.h"

#include <fmt/format.h>

#include <functional>
#include <optional>

#include "cli/embed.h"
#include "cli/interruption.h"
#include "export/subprocess.h"
#include "handgrad/base/errors.h"
#include "handgrad/files/file.h"
#include "handgrad/files/temporary_directory.h"
#include "handgrad/models/torchscript.h"
#include "handgrad/platform/system.h"

HANDGRAD_EMBED(read_model, HANDGRAD_READERS "/read_model.py");
HANDGRAD_EMBED(read_onnx, HANDGRAD_READERS "/read_onnx.js");
HANDGRAD_EMBED(read_page, HANDGRAD_READERS "/read_page.js");
HANDGRAD_EMBED(run_header, HANDGRAD_READERS "/run_header.c");

namespace handgrad::app {

namespace fs = std::filesystem;

namespace {

constexpr int not_installed = 77;  // of our readers

struct Reading {
  std::string reader;
  Tensor probabilities;
};

// What a reader is given and leaves, in files.
class Bench {
 public:
  Bench(const FileToVerify& file, const Tensor& pixels) : file_(file), count_(pixels.size(0)) {
    const Tensor bytes = pixels.contiguous();
    write_file(pixels_, {static_cast<const char*>(bytes.data_ptr()), bytes.nbytes()});
  }

  // The reading of a Python that has what the format needs.
  std::optional<Reading> python(const std::string& program) {
    return read({program, "-c", std::string(embedded_read_model()),
                 format_names()[static_cast<std::size_t>(file_.format)], file_.path.string(),
                 pixels_.string(), probabilities_.string(), std::to_string(file_.shape.rows),
                 std::to_string(file_.shape.columns)});
  }

  std::optional<Reading> node(std::string_view script) {
    return read({"node", "-e", std::string(script), "--", file_.path.string(), pixels_.string(),
                 probabilities_.string(), std::to_string(file_.shape.rows),
                 std::to_string(file_.shape.columns)});
  }

  // The header, compiled without a warning and run.
  std::optional<Reading> compiler(const std::string& program) {
    // Beside the source, under a name that needs no escape.
    const fs::path header = directory_ / "model.h";
    const fs::path source = directory_ / "run_header.c";
    const fs::path executable = directory_ / "run_header";
    fs::copy_file(file_.path, header, fs::copy_options::overwrite_existing);
    write_file(source, embedded_run_header());
    const ProgramResult version = run_program({program, "--version"}, directory_.path());
    if (version.exit_code == program_not_found) return std::nullopt;
    std::vector<std::string> command = {program,
                                        "-std=c99",
                                        "-Wall",
                                        "-Wextra",
                                        "-Werror",
                                        "-pedantic",
                                        "-O2",
                                        "-DPREFIX=" + file_.c_prefix,
                                        "-DHEADER=\"model.h\"",
                                        "-o",
                                        executable.string(),
                                        source.string(),
                                        "-lm"};
    if (file_.int8) command.insert(command.end(), {"-DINT8", "-Wconversion"});
    const ProgramResult compiled = run_program(command, directory_.path());
    if (compiled.exit_code != 0) fail(program, compiled);
    std::optional<Reading> reading = read({executable.string(), pixels_.string(), probabilities_.string()});
    if (!reading) {
      throw ModelError(fmt::format("{} compiled the file to a program that cannot be run here", program));
    }
    reading->reader = version.out.substr(0, version.out.find('\n')) + ", -std=c99";
    return reading;
  }

 private:
  [[noreturn]] void fail(const std::string& program, const ProgramResult& result) const {
    // The first line that says "error", of Python the last.
    std::string text = result.error;
    text.erase(text.find_last_not_of(" \n") + 1);
    const std::size_t found = text.find("error: ");
    const std::size_t begin = found == std::string::npos ? text.rfind('\n') + 1 : found;
    throw ModelError(fmt::format("{} cannot run the file (exit code {}): {}", program, result.exit_code,
                                 text.substr(begin, text.find('\n', begin) - begin)));
  }

  // Nothing where the program, or what it needs, is not installed.
  std::optional<Reading> read(const std::vector<std::string>& command) {
    const ProgramResult result = run_program(command, directory_.path());
    if (interruption() != 0) throw Error("interrupted; the file was not kept");
    if (result.exit_code == not_installed || result.exit_code == program_not_found) return std::nullopt;
    if (result.exit_code != 0) fail(command.front(), result);
    Bytes bytes = read_file(probabilities_);
    if (bytes.size() != static_cast<std::size_t>(count_ * file_.classes) * sizeof(float)) {
      throw ModelError(fmt::format("{} gave {} bytes of probabilities for {} images of {} classes",
                                   command.front(), bytes.size(), count_, file_.classes));
    }
    const Tensor probabilities = at::from_blob(bytes.data(), {count_, file_.classes}, at::kFloat).clone();
    return Reading{result.out.substr(0, result.out.find('\n')), probabilities};
  }

  const FileToVerify& file_;
  std::int64_t count_;
  TemporaryDirectory directory_;
  fs::path pixels_ = directory_ / "pixels";
  fs::path probabilities_ = directory_ / "probabilities";
};

std::optional<Reading> first_of(const std::vector<std::function<std::optional<Reading>()>>& readers) {
  for (const auto& reader : readers) {
    if (std::optional<Reading> reading = reader()) return reading;
  }
  return std::nullopt;
}

// Debian's PyTorch belongs to the system's Python, which need not be the first on PATH.
std::optional<Reading> any_python(Bench& bench) {
  return first_of(
      {[&] { return bench.python("python3"); }, [&] { return bench.python("/usr/bin/python3"); }});
}

Reading read_back(const FileToVerify& file, const Tensor& pixels) {
  if (file.format == Format::torchscript) {
    return {"torch::jit::load of LibTorch " + libtorch_version(),
            TorchScriptModel(file.path).forward(pixels.view({-1, 1, file.shape.rows, file.shape.columns}))};
  }
  Bench bench(file, pixels);
  std::optional<Reading> reading;
  const char* wanted = "";
  switch (file.format) {
    case Format::torchscript:
      break;
    case Format::onnx:
      reading =
          first_of({[&] { return any_python(bench); }, [&] { return bench.node(embedded_read_onnx()); }});
      wanted = "run `npm install onnxruntime-web` here, or install onnxruntime for Python 3";
      break;
    case Format::safetensors:
      reading = any_python(bench);
      wanted = "install numpy for Python 3";
      break;
    case Format::state_dict:
      reading = any_python(bench);
      wanted = "install PyTorch for Python 3";
      break;
    case Format::c_header:
      reading = first_of({[&] { return bench.compiler("cc"); }, [&] { return bench.compiler("gcc"); }});
      wanted = "install a C compiler";
      break;
    case Format::html:
      reading = bench.node(embedded_read_page());
      wanted = "install Node.js";
      break;
  }
  if (!reading) {
    throw Error(
        fmt::format("--verify: this machine has no reader of the format {}; {}, or leave out --verify",
                    format_names()[static_cast<std::size_t>(file.format)], wanted));
  }
  return *reading;
}

}  // namespace

const std::vector<std::string>& format_names() {
  static const std::vector<std::string> names = {"torchscript", "onnx",     "safetensors",
                                                 "state-dict",  "c-header", "html"};
  return names;
}

Verification verify(const FileToVerify& file, const Tensor& pixels, const Tensor& labels,
                    const Tensor& expected) {
  const Reading reading = read_back(file, pixels);
  const Tensor right = reading.probabilities.argmax(1).eq(labels);
  return {reading.reader, compare(expected, reading.probabilities),
          right.to(at::kDouble).mean().item<double>()};
}

}  // namespace handgrad::app

// `handgrad doctor`: what the program runs on, and what to do about each problem.
#include <fmt/format.h>

#include "cli/settings.h"
#include "commands/commands.h"
#include "handgrad/base/counted.h"
#include "handgrad/base/errors.h"
#include "handgrad/models/onnx_file.h"
#include "handgrad/platform/blas.h"
#include "handgrad/platform/cuda.h"
#include "handgrad/platform/process_group.h"
#include "handgrad/platform/processor.h"
#include "handgrad/platform/products.h"
#include "handgrad/platform/resources.h"
#include "handgrad/platform/small_products.h"
#include "handgrad/platform/system.h"
#include "handgrad/platform/threads.h"
#include "report/report_page.h"
#include "run/data_set.h"

namespace handgrad::app {

namespace {

class Diagnosis {
 public:
  void good(const char* subject, const std::string& finding) { line(' ', subject, finding); }

  void advise(const char* subject, const std::string& finding, const std::string& advice) {
    line('!', subject, finding);
    fmt::print("  {:<12}→ {}\n", "", advice);
  }

  void problem(const char* subject, const std::string& finding, const std::string& advice) {
    advise(subject, finding, advice);
    problems_ = true;
  }

  bool problems() const { return problems_; }

 private:
  static void line(char mark, const char* subject, const std::string& finding) {
    fmt::print("{} {:<12}{}\n", mark, subject, finding);
  }

  bool problems_ = false;
};

void examine_blas(Diagnosis& diagnosis) {
  const BlasLibrary blas = blas_library();
  const std::string finding = fmt::format("{} at {:.0f} GFLOP/s on one thread ({})", blas.name,
                                          matrix_product_gflops(512), blas.path);
  if (blas.is_slow) {
    diagnosis.problem(
        "BLAS", finding,
        "products run 17 to 37 times slower than they could: `apt-get install libblis4-serial`, then build "
        "again");
  } else if (blas.name == "OpenBLAS" && !is_intel_with_avx512()) {
    diagnosis.advise(
        "BLAS", finding,
        "small networks train faster on BLIS: `apt-get install libblis4-serial`, then build again");
  } else {
    diagnosis.good("BLAS", finding);
  }
}

void examine_products(Diagnosis& diagnosis) {
  const std::string libraries = "by " + product_libraries();
  if (!small_products_library().empty()) return diagnosis.good("products", libraries);
  diagnosis.advise(
      "products", libraries,
      "small networks train faster with libxsmm, which takes an x86 processor with AVX2, libxsmm-dev "
      "when handgrad is built, and a process that may execute what it writes");
}

void examine_data(Diagnosis& diagnosis, const Options& options, DataRequest request) {
  try {
    request.source = data_source(options);
    const Dataset dataset = open_dataset(request);
    diagnosis.good("data", fmt::format("{}: {} + {} images of {} × {}, {} classes, SHA-256 {}",
                                       request.source, dataset.train_count(), dataset.test_count(),
                                       dataset.rows(), dataset.columns(), dataset.classes, dataset.sha256()));
  } catch (const UsageError&) {
    diagnosis.advise("data", "none found",
                     "run scripts/fetch_data.sh mnist, or set MNIST_DIR, or train with `--data synthetic`");
  } catch (const Error& error) {
    diagnosis.problem("data", message_of(error), "until then, `--data synthetic` trains on generated digits");
  }
}

void examine_processes(Diagnosis& diagnosis) {
  const std::string none = no_process_group();
  if (!none.empty()) return diagnosis.advise("processes", "one at a time", none);
  try {
    const Launch launch = read_launch();
    diagnosis.good("processes",
                   launch.size == 1
                       ? "this one is alone; several can train together (docs/distributed.md)"
                       : fmt::format("rank {} of {}, started by {}; they meet at {}:{}", launch.rank,
                                     launch.size, launch.starter, launch.host, launch.port));
  } catch (const LaunchError& error) {
    diagnosis.problem("processes", error.what(), "docs/distributed.md shows how they are started");
  }
}

}  // namespace

int doctor_command(const Arguments& arguments) {
  Options options("doctor",
                  "shows what this program runs on, and what to mend. Exit code 1 where something is wrong",
                  "");
  options.value("data", "", "DIR", "data set to look at [MNIST_DIR, else data/mnist]");
  add_data_flags(options);
  if (!options.parse(arguments)) {
    fmt::print("{}", options.help());
    return 0;
  }
  const DataRequest request = read_data_request(options, "");
  set_threads(1);
  Diagnosis diagnosis;
  diagnosis.good("handgrad", version());
  diagnosis.good("LibTorch", libtorch_version());
  examine_blas(diagnosis);
  examine_products(diagnosis);
  diagnosis.good("threads", fmt::format("1 for small networks, up to {} for wide layers", available_cores()));
  if (has_gpu()) {
    const at::Device gpu = choose_device("auto");
    diagnosis.good("CUDA",
                   fmt::format("{}, the first a {} with {:.0f} GiB", counted(at::getNumGPUs(), "GPU"),
                               gpu_name(gpu), static_cast<double>(gpu_memory(gpu).total) / (1 << 30)));
  } else if (const auto unused = unused_gpu()) {
    diagnosis.advise("CUDA", unused->why + "; training runs on the CPU", unused->remedy);
  } else if (built_with_cuda()) {
    diagnosis.good("CUDA", "no GPU found; training runs on the CPU");
  } else {
    diagnosis.good("CUDA", "this LibTorch has none; training runs on the CPU");
  }
  examine_processes(diagnosis);
  diagnosis.good("ONNX", onnx_available() ? fmt::format("export available, opset {}", onnx_opset)
                                          : "off: install libonnx-dev and libprotobuf-dev and configure "
                                            "the build again");
  diagnosis.good("reports",
                 reports_available() ? "available" : "off: install npm and configure the build again");
  examine_data(diagnosis, options, request);
  return diagnosis.problems() ? 1 : 0;
}

}  // namespace handgrad::app

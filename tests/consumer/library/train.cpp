// Trains for a moment with the installed library.
#include <cstdio>

#include <handgrad/platform/blas.h>
#include <handgrad/platform/system.h>
#include <handgrad/platform/threads.h>
#include <handgrad/train/trainer.h>

int main() {
  handgrad::set_threads(1);
  const handgrad::Dataset dataset = handgrad::load_dataset(handgrad::synthetic_name);
  const handgrad::Splits splits = handgrad::split(dataset, {}, at::kFloat);
  handgrad::TrainingOptions options;
  options.epochs = 1;
  handgrad::Network network({dataset.rows() * dataset.columns(), {20}, dataset.classes}, 1, at::kFloat);
  handgrad::TrainingObserver observer;
  const handgrad::TrainingResult result = handgrad::train(network, splits, options, observer);
  std::printf("handgrad %s on %s: %lld steps\n", handgrad::version().c_str(),
              handgrad::blas_library().name.c_str(), static_cast<long long>(result.steps));
  return result.steps == 500 ? 0 : 1;
}

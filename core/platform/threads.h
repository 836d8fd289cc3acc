// The threads that share out one computation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace handgrad {

// The threads that the calling thread computes with, itself included; at least 1. Workspaces, optimizers and
// batches that are made afterwards share their work among them; LibTorch and the BLAS stay at 1, also in
// threads that begin later.
void set_threads(int threads);
int threads();

// Floating-point operations of a matrix product that are worth a thread of their own: about 0.1 ms.
constexpr double flops_per_thread = 8e6;

// Threads that gain time for a product: as many as get flops_per_thread each, at most as many as there are
// available_cores(); at least 1.
int useful_threads(double product_flops);

// Of the calling thread's threads, as many as gain time for an operation that passes over so many numbers.
int threads_for_numbers(std::int64_t numbers);

// What share_out does with several parts and threads.
void share_out_among_threads(std::int64_t count, const std::function<void(std::int64_t)>& part);

// Runs part(0), …, part(count − 1), each once, on the threads of the calling thread, and returns when all are
// done. Each thread takes parts from a range of its own, what follows each other in order, so that it meets in its core's cache
// what it had there before; whoever is free helps others, the caller too: it waits for parts that another thread
// has begun, never for a thread that the machine has no time for. (OpenMP's barriers wait for every thread, and
// on a machine with other work to do that takes many times as long as no threads at all.) The parts must not
// share what they change. Rethrows the first failure that was met. Not to be called within a part.
template <typename Part>
void share_out(std::int64_t count, const Part& part) {
  if (count > 1 && threads() > 1) return share_out_among_threads(count, std::cref(part));
  for (std::int64_t i = 0; i < count; ++i) part(i);
}

// The same where the parts are ranges of so many numbers in all: only where threads gain time for these.
template <typename Part>
void share_out_ranges_of(std::int64_t numbers, std::int64_t count, const Part& part) {
  if (threads_for_numbers(numbers) > 1) return share_out(count, part);
  for (std::int64_t i = 0; i < count; ++i) part(i);
}

// The same for the numbers from 0 to count − 1 in a range for each thread: part(begin, end), of at least `least`
// numbers where there are several ranges.
template <typename Part>
void share_out_ranges(std::int64_t count, std::int64_t least, const Part& part) {
  const std::int64_t parts = std::clamp<std::int64_t>(count / std::max<std::int64_t>(least, 1), 1, threads());
  share_out(parts, [&](std::int64_t p) { part(p * count / parts, (p + 1) * count / parts); });
}

}  // namespace handgrad

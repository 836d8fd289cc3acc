// Random numbers that are the same on every machine and with every standard library: the engine's output is
// fixed by the C++ standard, the distributions are written here because the standard's are not.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace handgrad {

// What a sequence is for. Sequences of one seed with different purposes are independent.
enum class Stream : std::uint32_t {
  weights = 1,
  split,
  batch_order,
  synthetic,
  gradcheck,
  augmentation,
  dropout
};

class Random {
 public:
  // `index` tells apart sequences of one purpose, such as the batch orders of successive epochs.
  Random(std::uint64_t seed, Stream stream, std::uint64_t index = 0) {
    const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
    const auto high = [](std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); };
    std::seed_seq sequence{low(seed), high(seed), static_cast<std::uint32_t>(stream), low(index),
                           high(index)};
    engine_.seed(sequence);
  }

  // Uniform in [0, 1).
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

  // Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  // Uniform in {0, …, n − 1}; n ≥ 1. Values that would favour small remainders are drawn again.
  std::uint64_t below(std::uint64_t n) {
    const std::uint64_t unfair = (0 - n) % n;
    std::uint64_t bits = engine_();
    while (bits < unfair) bits = engine_();
    return bits % n;
  }

  // Standard normal (Box and Muller, 1958). The second value of each pair is not kept: no hidden state.
  double normal() {
    constexpr double two_pi = 6.283185307179586476925;
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(two_pi * uniform());
  }

  // Uniform over all orders (Fisher and Yates; Durstenfeld, 1964).
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

// A short sequence that costs next to nothing to begin, for one of very many places, such as an image of an
// epoch: SplitMix64 (Steele, Lea and Flood, 2014, "Fast splittable pseudorandom number generators"), which
// scrambles a counter. The counter begins where the scrambled seed, purpose and indices say.
class QuickRandom {
 public:
  static constexpr std::uint64_t odd_fraction = 0x9e3779b97f4a7c15;  // 2⁶⁴ / the golden ratio
  static constexpr std::uint64_t first_factor = 0xbf58476d1ce4e5b9;
  static constexpr std::uint64_t second_factor = 0x94d049bb133111eb;

  QuickRandom(std::uint64_t seed, Stream stream, std::uint64_t index, std::uint64_t place)
      : counter_(key(seed, stream, index, place)) {}

  // Where the counter of a sequence begins, and the bits that it gives in its turn number i, from 0.
  static std::uint64_t key(std::uint64_t seed, Stream stream, std::uint64_t index, std::uint64_t place) {
    return scramble(scramble(scramble(scramble(seed) + static_cast<std::uint64_t>(stream)) + index) + place);
  }
  static std::uint64_t bits_at(std::uint64_t key, std::uint64_t i) {
    return scramble(key + (i + 1) * odd_fraction);
  }

  std::uint64_t bits() {
    counter_ += odd_fraction;
    return scramble(counter_);
  }

  // Uniform in [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(bits() >> 11) * 0x1p-53);
  }

  // Mean 0, variance 1 and nearly normal, within ±2√3: the sum of four uniform numbers of 16 bits, where a
  // logarithm and a cosine would take ten times as long.
  float nearly_normal() {
    const std::uint64_t b = bits();
    const auto sum =
        static_cast<std::int32_t>((b & 0xffff) + (b >> 16 & 0xffff) + (b >> 32 & 0xffff) + (b >> 48));
    constexpr std::int32_t mean = 2 * 0xffff;
    constexpr float deviation = 37837.227F;  // √(4 · (2³² − 1) / 12)
    return static_cast<float>(sum - mean) / deviation;
  }

 private:
  static std::uint64_t scramble(std::uint64_t z) {
    z = (z ^ (z >> 30)) * first_factor;
    z = (z ^ (z >> 27)) * second_factor;
    return z ^ (z >> 31);
  }

  std::uint64_t counter_;
};

}  // namespace handgrad

// Which numbers dropout drops.
#include <cmath>

#include "handgrad/base/random.h"
#include "handgrad/nn/ops.h"
#include "handgrad/platform/threads.h"

namespace handgrad {

namespace {

// Of 32 random bits, so many values drop a number.
std::uint64_t dropping_values(double p) {
  return static_cast<std::uint64_t>(std::llround(std::ldexp(p, 32)));
}

template <typename T>
void fill_mask(Tensor& mask, const Tensor& keys, double p, std::int64_t first_image) {
  const std::int64_t images = mask.size(0);
  const std::int64_t networks = mask.size(1);
  const std::int64_t features = mask.size(2);
  const std::uint64_t dropping = dropping_values(p);
  const T kept = static_cast<T>(1 / (1 - p));
  T* const all = mask.data_ptr<T>();
  const std::int64_t* const key = keys.data_ptr<std::int64_t>();
  const std::int64_t parts = threads_for_numbers(mask.numel());
  share_out(parts, [&](std::int64_t part) {
    for (std::int64_t n = images * part / parts; n < images * (part + 1) / parts; ++n) {
      for (std::int64_t r = 0; r < networks; ++r) {
        T* const row = all + (n * networks + r) * features;
        const auto first = static_cast<std::uint64_t>((first_image + n) * features);
        for (std::int64_t f = 0; f < features; ++f) {
          const std::uint64_t bits =
              QuickRandom::bits_at(static_cast<std::uint64_t>(key[r]), first + static_cast<std::uint64_t>(f));
          row[f] = (bits >> 32) < dropping ? T{0} : kept;
        }
      }
    }
  });
}

Tensor shifted_right(const Tensor& bits, std::int64_t by) {
  const auto without_sign = static_cast<std::int64_t>(~std::uint64_t{0} >> by);
  return at::__rshift__(bits, by).bitwise_and_(without_sign);
}

}  // namespace

void dropout_mask(Tensor& mask, const Tensor& keys, double p, std::int64_t first_image) {
  if (!mask.is_cpu()) return dropout_mask_by_operations(mask, keys, p, first_image);
  if (mask.scalar_type() == at::kDouble) return fill_mask<double>(mask, keys, p, first_image);
  fill_mask<float>(mask, keys, p, first_image);
}

void dropout_mask_by_operations(Tensor& mask, const Tensor& keys, double p, std::int64_t first_image) {
  const auto number = [](std::uint64_t bits) { return static_cast<std::int64_t>(bits); };
  const std::int64_t count = mask.size(0) * mask.size(2);
  const std::int64_t first = 1 + first_image * mask.size(2);
  const Tensor places =
      at::arange(first, first + count, keys.options()).view({mask.size(0), 1, mask.size(2)});
  Tensor bits = places * number(QuickRandom::odd_fraction) + keys.view({1, -1, 1});
  bits = (bits ^ shifted_right(bits, 30)) * number(QuickRandom::first_factor);
  bits = (bits ^ shifted_right(bits, 27)) * number(QuickRandom::second_factor);
  bits = shifted_right(bits ^ shifted_right(bits, 31), 32);
  mask.copy_(bits >= number(dropping_values(p))).mul_(1 / (1 - p));
}

}  // namespace handgrad

// Augmentation: each time that a training image comes, it is turned, stretched, moved and bent a little
// otherwise. The affine part and its names are those of torchvision.transforms.RandomAffine; the elastic one
// is that of Simard, Steinkraus and Platt, 2003, "Best practices for convolutional neural networks applied to
// visual document analysis", section 2.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "handgrad/base/tensor.h"
#include "handgrad/data/image_shape.h"

namespace handgrad {

// How far an image may be changed: each number is drawn anew for each image, uniformly up to these bounds in
// both directions. All 0: not at all.
struct AugmentOptions {
  double rotation = 0;  // about the centre, in degrees
  double scale = 0;     // the logarithm of the factor, of each axis its own: 0.1 is about ±10 %
  double shear = 0;     // columns that a row goes aside for each row away from the centre
  double shift = 0;     // pixels, of each axis its own
  double elastic = 0;   // root mean square length of the displacements of pixels, in pixels

  bool any() const { return rotation > 0 || scale > 0 || shear > 0 || shift > 0 || elastic > 0; }
  AugmentOptions times(double factor) const;
};

// Throws DataError, naming the setting, for a shift that leaves nothing of an image of this shape.
void validate(const AugmentOptions& options, ImageShape shape);

// A strength by name, and numbers that are said instead of its own.
struct AugmentChoice {
  enum class Preset { none, light, medium, strong };

  Preset preset = Preset::none;
  std::optional<double> rotation, scale, shear, shift, elastic;  // none: as the preset has it

  AugmentOptions options() const;
};

// What all bounds are multiplied with in an epoch (from 0), 0 to 1: a function of the epoch alone, which may
// be called by any thread. Empty: 1.
using AugmentStrength = std::function<double(std::int64_t epoch)>;

// Where a pixel of the changed image comes from: x = xx · column + xy · row + x0 and y = yx · column +
// yy · row + y0, in columns and rows of the original.
struct AffineMap {
  float xx = 1, xy = 0, x0 = 0;
  float yx = 0, yy = 1, y0 = 0;
};

// The inverse of: scale, shear, rotation (counter-clockwise as one sees it, for a positive angle) about the
// centre, shift to the right and down. Angle in degrees; the factors of scale are exp(scale_x), exp(scale_y).
AffineMap inverse_affine(ImageShape shape, double angle, double scale_x, double scale_y, double shear,
                         double shift_x, double shift_y);

// Which images of an epoch are asked for: those at the positions from `begin` on, in the order of each lane.
struct AugmentedPart {
  AugmentOptions options;                 // as they are in this epoch
  std::vector<std::uint64_t> data_seeds;  // one per lane
  std::int64_t epoch = 0;
  std::int64_t begin = 0;
};

// Augments images of one shape. A changed image is a function of the image, the options and its lane's data
// seed, the epoch and the position alone: whoever asks, with whatever other images, gets the same bits.
//
// What a pixel comes from is interpolated bilinearly; what lies outside of the original is 0. The
// displacements of the elastic part are noise, smoothed by Gaussians of 4 pixels, Simard's σ. It differs from
// Simard's: the noise lies at every fourth pixel or so instead of at each, is nearly normal instead of
// uniform, and the smoothed field is not divided by its own norm, but such that its expected length is the
// same at every pixel and `elastic` on average, so that some images are bent more than others.
class Augmenter {
 public:
  explicit Augmenter(ImageShape shape);

  // The chosen of the pixels [P, inputs], uint8, as images [N, inputs], in [0, 1]; with K lanes `chosen` is
  // [N, K] and the images are [N, K, inputs]. All of them are contiguous; float32 or float64 on the CPU, of
  // any floating type on a GPU, where the operations below do it.
  void augment(Tensor& images, const Tensor& pixels, const Tensor& chosen, const AugmentedPart& part) const;

  // The same by operations of LibTorch, on the device of the pixels, which allocate their results; equal to
  // within 1e-4, for images of up to 100 × 100 pixels: coordinates are rounded otherwise.
  void augment_by_operations(Tensor& images, const Tensor& pixels, const Tensor& chosen,
                             const AugmentedPart& part) const;

 private:
  struct Scratch;

  template <typename T>
  void augment_all(Tensor& images, const Tensor& pixels, const Tensor& chosen,
                   const AugmentedPart& part) const;
  void smooth_along_rows(Scratch& scratch) const;
  template <typename T>
  void augment_one(T* image, const std::uint8_t* pixels, const AffineMap& map, bool elastic,
                   Scratch& scratch) const;

  ImageShape shape_;
  std::int64_t row_nodes_, column_nodes_;  // of the grid of noise, [2, row_nodes, column_nodes]
  std::vector<float> row_weights_;         // [rows, row_nodes]
  std::vector<float> column_weights_;      // [column_nodes, columns]
};

}  // namespace handgrad

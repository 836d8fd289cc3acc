// Operations on the numbers of tensors one by one, with PyTorch's names and meanings: on a CPU a plain loop, because
// LibTorch takes 1 µs to begin one, ten times as long as the numbers of a small network take. Threads share out many numbers (of
// softmax one does all).
#pragma once

#include "handgrad/base/tensor.h"

namespace handgrad {

// y [N,…]; the others have the shape of y, or that of one row […], which counts for every n. One kind of number, one
// device; y may be one of the others, and shares no part of them else.

// y = a + factor b
void add(const Tensor& y, const Tensor& a, const Tensor& b, double factor = 1);

// y = a b
void mul(const Tensor& y, const Tensor& a, const Tensor& b);

// y = factor a
void scale(const Tensor& y, const Tensor& a, double factor);

// y = a + factor b c
void addcmul(const Tensor& y, const Tensor& a, const Tensor& b, const Tensor& c, double factor = 1);

// y = 1 / √(a + ε)
void rsqrt(const Tensor& y, const Tensor& a, double eps);

// y = a where a is more than `least` or NaN, else `least`
void clamp_min(const Tensor& y, const Tensor& a, double least);

// dx = 0 where y is at most `threshold`, else dy
void threshold_backward(const Tensor& dx, const Tensor& dy, const Tensor& y, double threshold);

// y = softmax(x) over the last axis; y and x have one shape and are contiguous.
void softmax(const Tensor& y, const Tensor& x);

}  // namespace handgrad

// What the handlers of one operation lend to those of another.

#ifndef JNAS_NATIVE_HANDLERS_H_
#define JNAS_NATIVE_HANDLERS_H_

#include <cstdint>

#include "arguments.h"
#include "kernels.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {

// From depthwise.cc.

ffi::Error DescribeWindow(const ffi::AnyBuffer& x,
                          const ffi::AnyBuffer& kernel, int64_t stride,
                          int64_t dilation, DepthwiseShape* d);

// Adds what each block of images has to a gradient, in order.
void AddBlocks(ffi::ThreadPool& pool, int64_t blocks,
               const ffi::AnyBuffer& partial, const ffi::AnyBuffer& total);

// From normalize.cc.

ffi::Error DescribeNormalize(const ffi::AnyBuffer& t, NormalizeShape* d);

ffi::Error CheckStatistics(const char* name, const ffi::AnyBuffer& buffer,
                           const NormalizeShape& d);

ffi::Error DescribePartial(const ffi::AnyBuffer& partial, NormalizeShape* d);

// The mean and the biased variance of each channel, over blocks that are then
// joined. Source: Chan, Golub and LeVeque, Updating formulae and a pairwise
// algorithm (1979), Eq. (1.5).
void JoinMoments(const NormalizeShape& d, const float* partial, float* mean,
                 float* var);

// Moves running statistics towards those of a batch.
struct Moving {
  const float *mean, *var;
  float *moved_mean, *moved_var;
  float momentum;

  void Apply(const float* batch_mean, const float* batch_var,
             int64_t size) const {
    for (int64_t i = 0; i < size; ++i) {
      moved_mean[i] = momentum * mean[i] + (1 - momentum) * batch_mean[i];
      moved_var[i] = momentum * var[i] + (1 - momentum) * batch_var[i];
    }
  }
};

ffi::Error DescribeMoving(const NormalizeShape& d, const In& mean,
                          const In& var, Out& moved_mean, Out& moved_var,
                          float momentum, Moving* moving);

// The means of t and of t * y of each channel.
template <typename T>
void ComputeProducts(ffi::ThreadPool& pool, const Normalize<T>& d, float* mean,
                     float* second);

}  // namespace jnas

#endif  // JNAS_NATIVE_HANDLERS_H_

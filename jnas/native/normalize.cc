// The handlers of batch normalisation and its derivative.

#include <algorithm>
#include <cstdint>

#include "arguments.h"
#include "handlers.h"
#include "kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {
namespace {

// Calls body(values, weight) in turn with what each block of a stacked image
// has of the two statistics, values[0 .. C) and values[C .. 2 C), from
// `weight` positions.
template <typename Body>
void ForEachPartial(const NormalizeShape& d, const float* partial,
                    int64_t stack, Body body) {
  for (int64_t b = 0; b < d.blocks; ++b) {
    const int64_t weight =
        (b + 1) * d.positions / d.blocks - b * d.positions / d.blocks;
    body(partial + (stack * d.blocks + b) * 2 * d.channels, weight);
  }
}

}  // namespace

ffi::Error DescribeNormalize(const ffi::AnyBuffer& t, NormalizeShape* d) {
  JNAS_RETURN_IF_ERROR(CheckRank("the input", t, 5));
  const Shape size = ShapeOf(t);
  *d = {size[0], size[1] * size[2] * size[3], size[4], 0};
  // About as much of the input as the first-level cache holds.
  d->blocks = DivideUp(d->positions * d->channels, 4096);
  return ffi::Error::Success();
}

ffi::Error CheckStatistics(const char* name, const ffi::AnyBuffer& buffer,
                           const NormalizeShape& d) {
  JNAS_RETURN_IF_ERROR(CheckType(name, buffer, ffi::F32));
  return CheckShape(name, buffer, {d.stacked, d.channels});
}

ffi::Error DescribePartial(const ffi::AnyBuffer& partial, NormalizeShape* d) {
  JNAS_RETURN_IF_ERROR(CheckRank("the partial sums", partial, 4));
  JNAS_RETURN_IF_ERROR(CheckType("the partial sums", partial, ffi::F32));
  d->blocks = ShapeOf(partial)[1];
  return CheckShape("the partial sums", partial,
                    {d->stacked, d->blocks, 2, d->channels});
}

void JoinMoments(const NormalizeShape& d, const float* partial, float* mean,
                 float* var) {
  const int64_t channels = d.channels;
  Scratch scratch;
  double* centre = scratch.Take<double>(channels);
  double* squares = scratch.Take<double>(channels);
  for (int64_t s = 0; s < d.stacked; ++s, mean += channels, var += channels) {
    std::fill(centre, centre + channels, 0.0);
    std::fill(squares, squares + channels, 0.0);
    ForEachPartial(d, partial, s, [&](const float* p, double weight) {
      for (int64_t c = 0; c < channels; ++c) centre[c] += p[c] * weight;
    });
    for (int64_t c = 0; c < channels; ++c) centre[c] /= d.positions;
    ForEachPartial(d, partial, s, [&](const float* p, double weight) {
      for (int64_t c = 0; c < channels; ++c) {
        const double distance = p[c] - centre[c];
        squares[c] += p[channels + c] + distance * distance * weight;
      }
    });
    for (int64_t c = 0; c < channels; ++c) {
      mean[c] = centre[c];
      var[c] = squares[c] / d.positions;
    }
  }
}

ffi::Error DescribeMoving(const NormalizeShape& d, const In& mean,
                          const In& var, Out& moved_mean, Out& moved_var,
                          float momentum, Moving* moving) {
  JNAS_RETURN_IF_ERROR(CheckStatistics("the running mean", mean, d));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the running variance", var, d));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the moved mean", *moved_mean, d));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the moved variance", *moved_var, d));
  *moving = {Data<float>(mean),        Data<float>(var),
             Data<float>(*moved_mean), Data<float>(*moved_var),
             momentum};
  return ffi::Error::Success();
}

template <typename T>
void ComputeProducts(ffi::ThreadPool& pool, const Normalize<T>& d, float* mean,
                     float* second) {
  ParallelFor(pool, d.stacked * d.blocks, d.work(),
              [&](int64_t i) { KernelsOf<T>(d.channels).products(d, i); });
  const int64_t channels = d.channels;
  Scratch scratch;
  double* sums = scratch.Take<double>(2 * channels);
  for (int64_t s = 0; s < d.stacked;
       ++s, mean += channels, second += channels) {
    std::fill(sums, sums + 2 * channels, 0.0);
    ForEachPartial(d, d.partial, s, [&](const float* p, int64_t) {
      for (int64_t c = 0; c < 2 * channels; ++c) sums[c] += p[c];
    });
    for (int64_t c = 0; c < channels; ++c) {
      mean[c] = sums[c] / d.positions;
      second[c] = sums[channels + c] / d.positions;
    }
  }
}

template void ComputeProducts(ffi::ThreadPool&, const Normalize<float>&,
                              float*, float*);
template void ComputeProducts(ffi::ThreadPool&, const Normalize<bfloat16>&,
                              float*, float*);

namespace {

template <typename T>
void ComputeMoments(ffi::ThreadPool& pool, const Normalize<T>& d, float* mean,
                    float* var) {
  ParallelFor(pool, d.stacked * d.blocks, d.work(),
              [&](int64_t i) { KernelsOf<T>(d.channels).moments(d, i); });
  JoinMoments(d, d.partial, mean, var);
}

ffi::Error NormalizeHandler(ffi::ThreadPool pool, In x, In running_mean,
                            In running_var, Out y, Out var, Out moved_mean,
                            Out moved_var, Out mean, Out partial, float eps,
                            float momentum) {
  NormalizeShape shape;
  Moving moving;
  JNAS_RETURN_IF_ERROR(DescribeNormalize(x, &shape));
  JNAS_RETURN_IF_ERROR(CheckLike("the output", *y, x));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", *mean, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the variance", *var, shape));
  JNAS_RETURN_IF_ERROR(DescribePartial(*partial, &shape));
  JNAS_RETURN_IF_ERROR(DescribeMoving(shape, running_mean, running_var,
                                      moved_mean, moved_var, momentum,
                                      &moving));
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    Normalize<T> d = {shape, Data<T>(x), nullptr, Data<T>(*y),
                      Data<float>(*partial)};
    d.mean = Data<float>(*mean);
    d.var = Data<float>(*var);
    d.eps = eps;
    ComputeMoments(pool, d, Data<float>(*mean), Data<float>(*var));
    moving.Apply(d.mean, d.var, d.stacked * d.channels);
    ParallelFor(pool, d.stacked * d.blocks, d.work(),
                [&](int64_t i) { KernelsOf<T>(d.channels).standardize(d, i); });
  });
}

ffi::Error MomentsHandler(ffi::ThreadPool pool, In x, Out mean, Out var,
                          Out partial) {
  NormalizeShape shape;
  JNAS_RETURN_IF_ERROR(DescribeNormalize(x, &shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", *mean, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the variance", *var, shape));
  JNAS_RETURN_IF_ERROR(DescribePartial(*partial, &shape));
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    const Normalize<T> d = {shape, Data<T>(x), nullptr, nullptr,
                            Data<float>(*partial)};
    ComputeMoments(pool, d, Data<float>(*mean), Data<float>(*var));
  });
}

ffi::Error StandardizeHandler(ffi::ThreadPool pool, In x, In mean, In var,
                              In running_mean, In running_var, Out y,
                              Out moved_mean, Out moved_var, float eps,
                              float momentum) {
  NormalizeShape shape;
  Moving moving;
  JNAS_RETURN_IF_ERROR(DescribeNormalize(x, &shape));
  JNAS_RETURN_IF_ERROR(CheckLike("the output", *y, x));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", mean, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the variance", var, shape));
  JNAS_RETURN_IF_ERROR(DescribeMoving(shape, running_mean, running_var,
                                      moved_mean, moved_var, momentum,
                                      &moving));
  moving.Apply(Data<float>(mean), Data<float>(var),
               shape.stacked * shape.channels);
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    const Normalize<T> d = {shape,   Data<T>(x),       nullptr,
                            Data<T>(*y), nullptr,      Data<float>(mean),
                            nullptr, Data<float>(var), eps};
    ParallelFor(pool, d.stacked * d.blocks, d.work(),
                [&](int64_t i) { KernelsOf<T>(d.channels).standardize(d, i); });
  });
}

ffi::Error ProjectHandler(ffi::ThreadPool pool, In t, In y, In var, Out out,
                          Out mean, Out second, Out partial, float eps) {
  NormalizeShape shape;
  JNAS_RETURN_IF_ERROR(DescribeNormalize(t, &shape));
  JNAS_RETURN_IF_ERROR(CheckLike("y", y, t));
  JNAS_RETURN_IF_ERROR(CheckLike("the output", *out, t));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the variance", var, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", *mean, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean product", *second, shape));
  JNAS_RETURN_IF_ERROR(DescribePartial(*partial, &shape));
  return ForType(t, [&](auto zero) {
    using T = decltype(zero);
    const Normalize<T> d = {shape,
                            Data<T>(t),
                            Data<T>(y),
                            Data<T>(*out),
                            Data<float>(*partial),
                            Data<float>(*mean),
                            Data<float>(*second),
                            Data<float>(var),
                            eps};
    ComputeProducts(pool, d, Data<float>(*mean), Data<float>(*second));
    ParallelFor(pool, d.stacked * d.blocks, d.work(),
                [&](int64_t i) { KernelsOf<T>(d.channels).project(d, i); });
  });
}

ffi::Error ProductsHandler(ffi::ThreadPool pool, In t, In y, Out mean,
                           Out second, Out partial) {
  NormalizeShape shape;
  JNAS_RETURN_IF_ERROR(DescribeNormalize(t, &shape));
  JNAS_RETURN_IF_ERROR(CheckLike("y", y, t));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", *mean, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean product", *second, shape));
  JNAS_RETURN_IF_ERROR(DescribePartial(*partial, &shape));
  return ForType(t, [&](auto zero) {
    using T = decltype(zero);
    const Normalize<T> d = {shape, Data<T>(t), Data<T>(y), nullptr,
                            Data<float>(*partial)};
    ComputeProducts(pool, d, Data<float>(*mean), Data<float>(*second));
  });
}

ffi::Error SubtractHandler(ffi::ThreadPool pool, In t, In y, In mean,
                           In second, In var, Out out, float eps) {
  NormalizeShape shape;
  JNAS_RETURN_IF_ERROR(DescribeNormalize(t, &shape));
  JNAS_RETURN_IF_ERROR(CheckLike("y", y, t));
  JNAS_RETURN_IF_ERROR(CheckLike("the output", *out, t));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", mean, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean product", second, shape));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the variance", var, shape));
  return ForType(t, [&](auto zero) {
    using T = decltype(zero);
    const Normalize<T> d = {
        shape,   Data<T>(t),        Data<T>(y),          Data<T>(*out),
        nullptr, Data<float>(mean), Data<float>(second), Data<float>(var),
        eps};
    ParallelFor(pool, d.stacked * d.blocks, d.work(),
                [&](int64_t i) { KernelsOf<T>(d.channels).project(d, i); });
  });
}

}  // namespace
}  // namespace jnas

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_normalize, jnas::NormalizeHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_ARG JNAS_RET JNAS_RET JNAS_RET JNAS_RET
                  JNAS_RET JNAS_RET JNAS_EPS JNAS_MOMENTUM));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_moments, jnas::MomentsHandler,
                              JNAS_BIND(JNAS_ARG JNAS_RET JNAS_RET JNAS_RET));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_standardize, jnas::StandardizeHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_RET JNAS_RET
                  JNAS_RET JNAS_EPS JNAS_MOMENTUM));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_project, jnas::ProjectHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_ARG JNAS_RET JNAS_RET JNAS_RET JNAS_RET
                  JNAS_EPS));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_products, jnas::ProductsHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_RET JNAS_RET JNAS_RET));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_subtract, jnas::SubtractHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_RET JNAS_EPS));

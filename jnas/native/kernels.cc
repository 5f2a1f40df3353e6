// What XLA calls: each handler checks its arguments, describes the operation
// and runs its blocks on XLA's threads.

#include "kernels.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {
namespace {

namespace ffi = xla::ffi;

using In = ffi::AnyBuffer;
using Rest = ffi::RemainingArgs;
using Out = ffi::Result<ffi::AnyBuffer>;
using Shape = std::vector<int64_t>;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

Shape ShapeOf(const ffi::AnyBuffer& buffer) {
  return Shape(buffer.dimensions().begin(), buffer.dimensions().end());
}

std::string Print(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

ffi::Error CheckShape(const char* name, const ffi::AnyBuffer& buffer,
                      const Shape& expected) {
  if (ShapeOf(buffer) == expected) return ffi::Error::Success();
  return ffi::Error::InvalidArgument(std::string("jnas: ") + name +
                                     " has shape " + Print(ShapeOf(buffer)) +
                                     "; expected " + Print(expected));
}

ffi::Error CheckType(const char* name, const ffi::AnyBuffer& buffer,
                     ffi::DataType expected) {
  if (buffer.element_type() == expected) return ffi::Error::Success();
  return ffi::Error::InvalidArgument(
      std::string("jnas: ") + name + " has element type " +
      std::to_string(static_cast<int>(buffer.element_type())) +
      "; expected " + std::to_string(static_cast<int>(expected)));
}

ffi::Error CheckRank(const char* name, const ffi::AnyBuffer& buffer,
                     size_t rank) {
  if (buffer.dimensions().size() == rank) return ffi::Error::Success();
  return ffi::Error::InvalidArgument(
      std::string("jnas: ") + name + " has shape " + Print(ShapeOf(buffer)) +
      "; expected " + std::to_string(rank) + " axes");
}

#define JNAS_RETURN_IF_ERROR(expression)               \
  if (ffi::Error error = expression; error.failure()) \
    return error

ffi::Error CheckLike(const char* name, const ffi::AnyBuffer& buffer,
                     const ffi::AnyBuffer& other) {
  JNAS_RETURN_IF_ERROR(CheckType(name, buffer, other.element_type()));
  return CheckShape(name, buffer, ShapeOf(other));
}

// Calls body(T{}) with the type of the elements.
template <typename Body>
ffi::Error ForType(const ffi::AnyBuffer& buffer, Body body) {
  switch (buffer.element_type()) {
    case ffi::F32:
      body(float{});
      return ffi::Error::Success();
    case ffi::BF16:
      body(bfloat16{});
      return ffi::Error::Success();
    default:
      return ffi::Error::InvalidArgument(
          "jnas: kernels take float32 and bfloat16, not element type " +
          std::to_string(static_cast<int>(buffer.element_type())));
  }
}

template <typename T>
T* Data(const ffi::AnyBuffer& buffer) {
  return static_cast<T*>(buffer.untyped_data());
}

// Depthwise convolution.

ffi::Error DescribeWindow(const ffi::AnyBuffer& x,
                          const ffi::AnyBuffer& kernel, int64_t stride,
                          int64_t dilation, DepthwiseShape* d) {
  JNAS_RETURN_IF_ERROR(CheckRank("the input", x, 5));
  JNAS_RETURN_IF_ERROR(CheckRank("the kernel", kernel, 4));
  if (stride < 1 || dilation < 1) {
    return ffi::Error::InvalidArgument(
        "jnas: stride " + std::to_string(stride) + " and dilation " +
        std::to_string(dilation) + "; expected at least 1");
  }
  const Shape size = ShapeOf(x);
  d->sources = size[0];
  d->batch = size[1];
  d->height = size[2];
  d->width = size[3];
  d->channels = size[4];
  d->targets = ShapeOf(kernel)[0];
  d->taps = ShapeOf(kernel)[1];
  d->stride = stride;
  d->dilation = dilation;
  d->out_height = DivideUp(d->height, stride);
  d->out_width = DivideUp(d->width, stride);
  if (d->sources < 1 || d->targets % d->sources != 0) {
    return ffi::Error::InvalidArgument(
        "jnas: " + std::to_string(d->targets) +
        " targets; expected a multiple of the " + std::to_string(d->sources) +
        " sources");
  }
  if (d->taps % 2 == 0) {
    return ffi::Error::InvalidArgument("jnas: kernel of size " +
                                       std::to_string(d->taps) +
                                       "; expected an odd size");
  }
  return CheckShape("the kernel", kernel,
                    {d->targets, d->taps, d->taps, d->channels});
}

ffi::Error DescribeDepthwise(const ffi::AnyBuffer& x,
                             const ffi::AnyBuffer& kernel,
                             const ffi::AnyBuffer& y, int64_t stride,
                             int64_t dilation, DepthwiseShape* d) {
  JNAS_RETURN_IF_ERROR(DescribeWindow(x, kernel, stride, dilation, d));
  return CheckShape(
      "the output", y,
      {d->targets, d->batch, d->out_height, d->out_width, d->channels});
}

// Divides rows into bands whose tile stays in the second-level cache. A band
// of r rows reads r * stride + `overlap` of `columns` pixels each.
void DivideRows(int64_t rows, int64_t stride, int64_t overlap, int64_t columns,
                DepthwiseShape* d) {
  constexpr int64_t kTileFloats = 128 * 1024 / sizeof(float);
  const int64_t fitting = kTileFloats / (columns * kChannelBlock);
  const int64_t most = std::max<int64_t>(4, (fitting - overlap) / stride);
  d->bands = DivideUp(rows, most);
  d->band_rows = d->bands ? DivideUp(rows, d->bands) : 0;
}

void DivideOutput(DepthwiseShape* d) {
  const int64_t reach = (d->taps - 1) * d->dilation;
  DivideRows(d->out_height, d->stride, reach, d->out_width * d->stride + reach,
             d);
}

void DivideInput(DepthwiseShape* d) {
  const int64_t reach = (d->taps - 1) * d->dilation / d->stride + 1;
  DivideRows(DivideUp(d->height, d->stride), 1, reach,
             DivideUp(d->width, d->stride) + reach, d);
}

// The gate is the operand that may follow the other two.
ffi::Error FindGate(const Rest& rest, const ffi::AnyBuffer& x,
                    const void** gate) {
  *gate = nullptr;
  if (rest.empty()) return ffi::Error::Success();
  auto found = rest.get<ffi::AnyBuffer>(0);
  if (!found.has_value()) return found.error();
  *gate = found->untyped_data();
  return CheckLike("the gate", *found, x);
}

ffi::Error ConvolveHandler(ffi::ThreadPool pool, In x, In kernel, Rest rest,
                           Out y, int64_t stride, int64_t dilation) {
  const void* gate;
  JNAS_RETURN_IF_ERROR(FindGate(rest, x, &gate));
  DepthwiseShape shape = {};
  JNAS_RETURN_IF_ERROR(
      DescribeDepthwise(x, kernel, *y, stride, dilation, &shape));
  JNAS_RETURN_IF_ERROR(CheckType("the kernel", kernel, x.element_type()));
  JNAS_RETURN_IF_ERROR(CheckType("the output", *y, x.element_type()));
  if (y->element_count() == 0) return ffi::Error::Success();
  DivideOutput(&shape);
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    const Depthwise<T> d = {shape,           Data<T>(x), Data<T>(*y),
                            Data<T>(kernel), static_cast<const T*>(gate),
                            nullptr};
    ParallelFor(pool, d.sources * d.batch * d.bands, d.work(),
                [&](int64_t i) { KernelsOf<T>().convolve(d, i); });
  });
}

ffi::Error InputGradientHandler(ffi::ThreadPool pool, In kernel, In g,
                                Rest rest, Out dx, int64_t stride,
                                int64_t dilation) {
  const void* gate;
  JNAS_RETURN_IF_ERROR(FindGate(rest, *dx, &gate));
  DepthwiseShape shape = {};
  JNAS_RETURN_IF_ERROR(
      DescribeDepthwise(*dx, kernel, g, stride, dilation, &shape));
  JNAS_RETURN_IF_ERROR(CheckType("the kernel", kernel, g.element_type()));
  JNAS_RETURN_IF_ERROR(CheckType("the gradient", *dx, g.element_type()));
  if (dx->element_count() == 0) return ffi::Error::Success();
  DivideInput(&shape);
  return ForType(g, [&](auto zero) {
    using T = decltype(zero);
    const Depthwise<T> d = {shape,           Data<T>(*dx), Data<T>(g),
                            Data<T>(kernel), static_cast<const T*>(gate),
                            nullptr};
    ParallelFor(pool, d.sources * d.batch * d.bands, d.work(),
                [&](int64_t i) { KernelsOf<T>().input_gradient(d, i); });
  });
}

// Adds what each block of images has to a gradient, in order.
void AddBlocks(ffi::ThreadPool& pool, int64_t blocks,
               const ffi::AnyBuffer& partial, const ffi::AnyBuffer& total) {
  constexpr int64_t kChunk = 1024;
  const int64_t size = total.element_count();
  const float* from = Data<float>(partial);
  float* to = Data<float>(total);
  ParallelFor(pool, DivideUp(size, kChunk), blocks * size, [&](int64_t chunk) {
    const int64_t begin = chunk * kChunk;
    const int64_t end = std::min(begin + kChunk, size);
    std::fill(to + begin, to + end, 0.0f);
    for (int64_t block = 0; block < blocks; ++block) {
      for (int64_t i = begin; i < end; ++i) to[i] += from[block * size + i];
    }
  });
}

ffi::Error KernelGradientHandler(ffi::ThreadPool pool, In x, In g, Rest rest,
                                 Out dk, Out partial, int64_t stride,
                                 int64_t dilation) {
  const void* gate;
  JNAS_RETURN_IF_ERROR(FindGate(rest, x, &gate));
  DepthwiseShape shape = {};
  JNAS_RETURN_IF_ERROR(
      DescribeDepthwise(x, *dk, g, stride, dilation, &shape));
  JNAS_RETURN_IF_ERROR(CheckType("the output's gradient", g,
                                 x.element_type()));
  JNAS_RETURN_IF_ERROR(CheckType("the kernel's gradient", *dk, ffi::F32));
  JNAS_RETURN_IF_ERROR(CheckType("the partial sums", *partial, ffi::F32));
  JNAS_RETURN_IF_ERROR(CheckRank("the partial sums", *partial, 5));
  shape.image_blocks = ShapeOf(*partial)[0];
  JNAS_RETURN_IF_ERROR(
      CheckShape("the partial sums", *partial,
                 {shape.image_blocks, shape.targets, shape.taps, shape.taps,
                  shape.channels}));
  DivideOutput(&shape);
  float* sums = Data<float>(*partial);
  ffi::Error wrong_type = ForType(x, [&](auto zero) {
    using T = decltype(zero);
    const Depthwise<T> d = {shape,   Data<T>(x),                  Data<T>(g),
                            nullptr, static_cast<const T*>(gate), sums};
    ParallelFor(pool, d.sources * d.image_blocks, d.work(),
                [&](int64_t i) { KernelsOf<T>().kernel_gradient(d, i); });
  });
  if (wrong_type.failure()) return wrong_type;
  AddBlocks(pool, shape.image_blocks, *partial, *dk);
  return ffi::Error::Success();
}

// Pooling.

ffi::Error DescribePool(const ffi::AnyBuffer& x, const ffi::AnyBuffer& y,
                        int64_t stride, PoolShape* p) {
  JNAS_RETURN_IF_ERROR(CheckRank("the input", x, 4));
  JNAS_RETURN_IF_ERROR(CheckType("the output", y, x.element_type()));
  if (stride < 1) {
    return ffi::Error::InvalidArgument("jnas: stride " +
                                       std::to_string(stride) +
                                       "; expected at least 1");
  }
  const Shape size = ShapeOf(x);
  *p = {size[0],
        size[1],
        size[2],
        size[3],
        DivideUp(size[1], stride),
        DivideUp(size[2], stride),
        stride};
  return CheckShape("the output", y,
                    {p->batch, p->out_height, p->out_width, p->channels});
}

// Runs one of the kernels, chosen by `select`, over rows of x or of y.
template <typename Select>
ffi::Error RunPool(ffi::ThreadPool& pool, const ffi::AnyBuffer& x,
                   const ffi::AnyBuffer& y, const ffi::AnyBuffer* winner,
                   int64_t stride, bool over_input, Select select) {
  PoolShape shape;
  JNAS_RETURN_IF_ERROR(DescribePool(x, y, stride, &shape));
  if (winner != nullptr) {
    JNAS_RETURN_IF_ERROR(CheckShape("the winner", *winner, ShapeOf(y)));
    JNAS_RETURN_IF_ERROR(CheckType("the winner", *winner, ffi::U8));
  }
  if (x.element_count() == 0) return ffi::Error::Success();
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    const Pool<T> p = {shape, Data<T>(x), Data<T>(y),
                       winner ? Data<uint8_t>(*winner) : nullptr};
    ParallelFor(pool, p.batch * (over_input ? p.height : p.out_height),
                p.work(), [&](int64_t i) { select(KernelsOf<T>())(p, i); });
  });
}

ffi::Error MaxHandler(ffi::ThreadPool pool, In x, Out y, Out winner,
                      int64_t stride) {
  return RunPool(pool, x, *y, &*winner, stride, false,
                 [](const auto& kernels) { return kernels.pool_max; });
}

ffi::Error TakeHandler(ffi::ThreadPool pool, In x, In winner, Out y,
                       int64_t stride) {
  return RunPool(pool, x, *y, &winner, stride, false,
                 [](const auto& kernels) { return kernels.pool_take; });
}

ffi::Error PutHandler(ffi::ThreadPool pool, In g, In winner, Out dx,
                      int64_t stride) {
  return RunPool(pool, *dx, g, &winner, stride, true,
                 [](const auto& kernels) { return kernels.pool_put; });
}

ffi::Error MeanHandler(ffi::ThreadPool pool, In x, Out y, int64_t stride) {
  return RunPool(pool, x, *y, nullptr, stride, false,
                 [](const auto& kernels) { return kernels.pool_mean; });
}

ffi::Error SpreadHandler(ffi::ThreadPool pool, In g, Out dx, int64_t stride) {
  return RunPool(pool, *dx, g, nullptr, stride, true,
                 [](const auto& kernels) { return kernels.pool_spread; });
}

// Normalisation.

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

// The mean and the biased variance of each channel, over blocks that are then
// joined. Source: Chan, Golub and LeVeque, Updating formulae and a pairwise
// algorithm (1979), Eq. (1.5).
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

template <typename T>
void ComputeMoments(ffi::ThreadPool& pool, const Normalize<T>& d, float* mean,
                    float* var) {
  ParallelFor(pool, d.stacked * d.blocks, d.work(),
              [&](int64_t i) { KernelsOf<T>().moments(d, i); });
  JoinMoments(d, d.partial, mean, var);
}

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
                [&](int64_t i) { KernelsOf<T>().standardize(d, i); });
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
                [&](int64_t i) { KernelsOf<T>().standardize(d, i); });
  });
}

// The means of t and of t * y of each channel.
template <typename T>
void ComputeProducts(ffi::ThreadPool& pool, const Normalize<T>& d, float* mean,
                     float* second) {
  ParallelFor(pool, d.stacked * d.blocks, d.work(),
              [&](int64_t i) { KernelsOf<T>().products(d, i); });
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
                [&](int64_t i) { KernelsOf<T>().project(d, i); });
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
                [&](int64_t i) { KernelsOf<T>().project(d, i); });
  });
}

// ReLU, depthwise and 1x1 convolution and batch norm in one.

ffi::Error DescribeSeparable(const ffi::AnyBuffer& x,
                             const ffi::AnyBuffer& kernel,
                             const ffi::AnyBuffer& matrix,
                             const ffi::AnyBuffer& y, int64_t stride,
                             int64_t dilation, DepthwiseShape* shape,
                             NormalizeShape* norm) {
  JNAS_RETURN_IF_ERROR(
      DescribeWindow(x, kernel, stride, dilation, shape));
  JNAS_RETURN_IF_ERROR(CheckType("the kernel", kernel, x.element_type()));
  JNAS_RETURN_IF_ERROR(CheckType("the matrix", matrix, x.element_type()));
  JNAS_RETURN_IF_ERROR(CheckType("the output", y, x.element_type()));
  JNAS_RETURN_IF_ERROR(DescribeNormalize(y, norm));
  JNAS_RETURN_IF_ERROR(CheckShape(
      "the matrix", matrix, {shape->targets, shape->channels, norm->channels}));
  return CheckShape("the output", y,
                    {shape->targets, shape->batch, shape->out_height,
                     shape->out_width, norm->channels});
}

ffi::Error SeparateHandler(ffi::ThreadPool pool, In x, In kernel, In matrix,
                           In running_mean, In running_var, Out y, Out var,
                           Out moved_mean, Out moved_var, Out mean,
                           Out partial, int64_t stride, int64_t dilation,
                           float eps, float momentum) {
  DepthwiseShape shape = {};
  NormalizeShape norm, images;
  Moving moving;
  JNAS_RETURN_IF_ERROR(DescribeSeparable(x, kernel, matrix, *y, stride,
                                         dilation, &shape, &norm));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", *mean, norm));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the variance", *var, norm));
  images = norm;
  JNAS_RETURN_IF_ERROR(DescribePartial(*partial, &images));
  if (images.blocks != shape.batch) {
    return ffi::Error::InvalidArgument(
        "jnas: partial sums of " + std::to_string(images.blocks) +
        " blocks; expected one for each of the " +
        std::to_string(shape.batch) + " images");
  }
  JNAS_RETURN_IF_ERROR(DescribeMoving(norm, running_mean, running_var,
                                      moved_mean, moved_var, momentum,
                                      &moving));
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    Separable<T> d = {};
    static_cast<DepthwiseShape&>(d) = shape;
    d.features = norm.channels;
    d.x = Data<T>(x);
    d.kernel = Data<T>(kernel);
    d.matrix = Data<T>(matrix);
    d.y = Data<T>(*y);
    d.moments = Data<float>(*partial);
    if (y->element_count() > 0) {
      ParallelFor(pool, d.sources * d.batch, d.work(),
                  [&](int64_t i) { KernelsOf<T>().separate(d, i); });
    }
    JoinMoments(images, d.moments, Data<float>(*mean), Data<float>(*var));
    moving.Apply(Data<float>(*mean), Data<float>(*var),
                 norm.stacked * norm.channels);
    const Normalize<T> n = {norm,    d.y,                nullptr,
                            d.y,     nullptr,            Data<float>(*mean),
                            nullptr, Data<float>(*var), eps};
    ParallelFor(pool, n.stacked * n.blocks, n.work(),
                [&](int64_t i) { KernelsOf<T>().standardize(n, i); });
  });
}

// A gradient of this shape, and what each block of images has to it.
ffi::Error CheckSums(const char* whose, const ffi::AnyBuffer& gradient,
                     const ffi::AnyBuffer& sums, Shape shape, int64_t blocks) {
  const std::string name = std::string(whose) + " gradient";
  JNAS_RETURN_IF_ERROR(CheckType(name.c_str(), gradient, ffi::F32));
  JNAS_RETURN_IF_ERROR(CheckShape(name.c_str(), gradient, shape));
  shape.insert(shape.begin(), blocks);
  JNAS_RETURN_IF_ERROR(CheckType("the partial sums", sums, ffi::F32));
  return CheckShape("the partial sums", sums, shape);
}

ffi::Error SeparateBackHandler(ffi::ThreadPool pool, In x, In kernel,
                               In matrix, In y, In var, In g, Out dx,
                               Out dkernel, Out dmatrix, Out kernel_sums,
                               Out matrix_sums, Out transposed, Out mean,
                               Out second, Out partial, int64_t stride,
                               int64_t dilation, float eps) {
  DepthwiseShape shape = {};
  NormalizeShape norm;
  JNAS_RETURN_IF_ERROR(DescribeSeparable(x, kernel, matrix, y, stride,
                                         dilation, &shape, &norm));
  JNAS_RETURN_IF_ERROR(CheckLike("the gradient", g, y));
  JNAS_RETURN_IF_ERROR(CheckLike("the input's gradient", *dx, x));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the variance", var, norm));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean", *mean, norm));
  JNAS_RETURN_IF_ERROR(CheckStatistics("the mean product", *second, norm));
  JNAS_RETURN_IF_ERROR(DescribePartial(*partial, &norm));
  JNAS_RETURN_IF_ERROR(
      CheckType("the transposed", *transposed, x.element_type()));
  JNAS_RETURN_IF_ERROR(CheckShape("the transposed", *transposed,
                                  {shape.targets, norm.channels,
                                   shape.channels}));
  // Without room for them, the gradients of the weights are not wanted.
  const bool is_complete = dkernel->element_count() > 0;
  const int64_t targets = is_complete ? shape.targets : 0;
  JNAS_RETURN_IF_ERROR(CheckRank("the kernel's sums", *kernel_sums, 5));
  shape.image_blocks = ShapeOf(*kernel_sums)[0];
  const Shape kernel_shape = {targets, shape.taps, shape.taps, shape.channels};
  const Shape matrix_shape = {targets, shape.channels, norm.channels};
  JNAS_RETURN_IF_ERROR(
      CheckSums("the kernel's", *dkernel, *kernel_sums, kernel_shape,
                shape.image_blocks));
  JNAS_RETURN_IF_ERROR(
      CheckSums("the matrix's", *dmatrix, *matrix_sums, matrix_shape,
                shape.image_blocks));
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    Normalize<T> n = {norm,
                      Data<T>(g),
                      Data<T>(y),
                      nullptr,
                      Data<float>(*partial),
                      Data<float>(*mean),
                      Data<float>(*second),
                      Data<float>(var),
                      eps};
    ComputeProducts(pool, n, Data<float>(*mean), Data<float>(*second));
    for (int64_t t = 0; t < shape.targets; ++t) {
      const int64_t first = t * shape.channels * norm.channels;
      for (int64_t c = 0; c < shape.channels; ++c) {
        for (int64_t f = 0; f < norm.channels; ++f) {
          Data<T>(*transposed)[first + f * shape.channels + c] =
              Data<T>(matrix)[first + c * norm.channels + f];
        }
      }
    }
    Separable<T> d = {};
    static_cast<DepthwiseShape&>(d) = shape;
    d.features = norm.channels;
    d.x = Data<T>(x);
    d.kernel = Data<T>(kernel);
    d.matrix = Data<T>(matrix);
    d.transposed = Data<T>(*transposed);
    d.y = Data<T>(y);
    d.g = Data<T>(g);
    d.dx = Data<T>(*dx);
    d.dkernel = is_complete ? Data<float>(*kernel_sums) : nullptr;
    d.dmatrix = is_complete ? Data<float>(*matrix_sums) : nullptr;
    d.mean = n.mean;
    d.second = n.second;
    d.var = n.var;
    d.eps = eps;
    if (dx->element_count() > 0) {
      ParallelFor(pool, d.sources * d.image_blocks, d.work(),
                  [&](int64_t i) { KernelsOf<T>().separate_back(d, i); });
    }
    AddBlocks(pool, shape.image_blocks, *kernel_sums, *dkernel);
    AddBlocks(pool, shape.image_blocks, *matrix_sums, *dmatrix);
  });
}

// The memory that `Scratch` hands out. When a block of work needed several
// chunks, one as large as all of them replaces them at its end.
class Arena {
 public:
  void* Take(size_t size) {
    size = (size + kAlignment - 1) / kAlignment * kAlignment;
    if (chunks_.empty() || used_ + size > chunks_.back().size) {
      chunks_.emplace_back(std::max(size, kSmallestChunk));
      used_ = 0;
    }
    used_ += size;
    return chunks_.back().begin() + used_ - size;
  }

  void Release() {
    used_ = 0;
    if (chunks_.size() < 2) return;
    size_t total = 0;
    for (const Chunk& chunk : chunks_) total += chunk.size;
    chunks_.clear();
    chunks_.emplace_back(total);
  }

 private:
  static constexpr size_t kAlignment = 64;
  static constexpr size_t kSmallestChunk = 64 * 1024;

  struct Chunk {
    explicit Chunk(size_t size)
        : size(size), memory(new char[size + kAlignment]) {}
    char* begin() const {
      const auto address = reinterpret_cast<uintptr_t>(memory.get());
      return memory.get() + (kAlignment - address % kAlignment);
    }
    size_t size;
    std::unique_ptr<char[]> memory;
  };
  std::vector<Chunk> chunks_;
  size_t used_ = 0;
};

thread_local Arena arena;

}  // namespace

Scratch::Scratch() = default;
Scratch::~Scratch() { arena.Release(); }
void* Scratch::TakeBytes(size_t size) { return arena.Take(size); }

}  // namespace jnas

// What the library exports: see library.py.

extern "C" {

int jnas_ffi_major() { return XLA_FFI_API_MAJOR; }
int jnas_ffi_minor() { return XLA_FFI_API_MINOR; }
const char* jnas_instruction_set() { return jnas::TargetName(); }
}

#define JNAS_BIND(handler) \
  xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>() handler
#define JNAS_ARG .Arg<xla::ffi::AnyBuffer>()
#define JNAS_REST .RemainingArgs()
#define JNAS_RET .Ret<xla::ffi::AnyBuffer>()
#define JNAS_STRIDE .Attr<int64_t>("stride")
#define JNAS_WINDOW JNAS_STRIDE.Attr<int64_t>("dilation")
#define JNAS_EPS .Attr<float>("eps")
#define JNAS_MOMENTUM .Attr<float>("momentum")

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_convolve, jnas::ConvolveHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_REST JNAS_RET JNAS_WINDOW));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_input_gradient, jnas::InputGradientHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_REST JNAS_RET JNAS_WINDOW));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_kernel_gradient, jnas::KernelGradientHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_REST JNAS_RET JNAS_RET JNAS_WINDOW));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_pool_max, jnas::MaxHandler,
                              JNAS_BIND(JNAS_ARG JNAS_RET JNAS_RET JNAS_STRIDE));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_pool_take, jnas::TakeHandler,
                              JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_RET JNAS_STRIDE));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_pool_put, jnas::PutHandler,
                              JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_RET JNAS_STRIDE));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_pool_mean, jnas::MeanHandler,
                              JNAS_BIND(JNAS_ARG JNAS_RET JNAS_STRIDE));
XLA_FFI_DEFINE_HANDLER_SYMBOL(jnas_pool_spread, jnas::SpreadHandler,
                              JNAS_BIND(JNAS_ARG JNAS_RET JNAS_STRIDE));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_normalize, jnas::NormalizeHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_ARG JNAS_RET JNAS_RET JNAS_RET JNAS_RET
                  JNAS_RET JNAS_RET JNAS_EPS JNAS_MOMENTUM));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_separate, jnas::SeparateHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_RET JNAS_RET
                  JNAS_RET JNAS_RET JNAS_RET JNAS_RET JNAS_WINDOW JNAS_EPS
                      JNAS_MOMENTUM));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_separate_back, jnas::SeparateBackHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_ARG JNAS_RET
                  JNAS_RET JNAS_RET JNAS_RET JNAS_RET JNAS_RET JNAS_RET
                      JNAS_RET JNAS_RET JNAS_WINDOW JNAS_EPS));
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

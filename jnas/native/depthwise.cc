// The handlers of the depthwise convolution and its two gradients.

#include <algorithm>
#include <cstdint>
#include <string>

#include "arguments.h"
#include "handlers.h"
#include "kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {

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

namespace {

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
                [&](int64_t i) { KernelsOf<T>(d.channels).convolve(d, i); });
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
                [&](int64_t i) {
                  KernelsOf<T>(d.channels).input_gradient(d, i);
                });
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
                [&](int64_t i) {
                  KernelsOf<T>(d.channels).kernel_gradient(d, i);
                });
  });
  if (wrong_type.failure()) return wrong_type;
  AddBlocks(pool, shape.image_blocks, *partial, *dk);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jnas

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_convolve, jnas::ConvolveHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_REST JNAS_RET JNAS_WINDOW));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_input_gradient, jnas::InputGradientHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_REST JNAS_RET JNAS_WINDOW));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_kernel_gradient, jnas::KernelGradientHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_REST JNAS_RET JNAS_RET JNAS_WINDOW));

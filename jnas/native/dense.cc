// The handlers of the dense convolution and its two gradients.

#include <algorithm>
#include <cstdint>
#include <string>

#include "arguments.h"
#include "handlers.h"
#include "kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {
namespace {

// The shape of the convolution of x with a kernel to y.
ffi::Error DescribeDense(const ffi::AnyBuffer& x, const ffi::AnyBuffer& kernel,
                         const ffi::AnyBuffer& y, int64_t row_stride,
                         int64_t column_stride, int64_t dilation,
                         DenseShape* d) {
  JNAS_RETURN_IF_ERROR(CheckRank("the input", x, 5));
  JNAS_RETURN_IF_ERROR(CheckRank("the kernel", kernel, 5));
  if (std::min({row_stride, column_stride, dilation}) < 1) {
    return ffi::Error::InvalidArgument(
        "jnas: strides " + std::to_string(row_stride) + " and " +
        std::to_string(column_stride) + ", dilation " +
        std::to_string(dilation) + "; expected at least 1");
  }
  const Shape images = ShapeOf(x), taps = ShapeOf(kernel);
  d->sources = images[0];
  d->batch = images[1];
  d->height = images[2];
  d->width = images[3];
  d->channels = images[4];
  d->targets = taps[0];
  d->tap_rows = taps[1];
  d->tap_columns = taps[2];
  d->features = taps[4];
  d->row_stride = row_stride;
  d->column_stride = column_stride;
  d->dilation = dilation;
  d->out_height = DivideUp(d->height, row_stride);
  d->out_width = DivideUp(d->width, column_stride);
  if (std::min(d->sources, d->targets) < 1 || d->targets % d->sources != 0) {
    return ffi::Error::InvalidArgument(
        "jnas: " + std::to_string(d->targets) +
        " targets; expected a positive multiple of the " +
        std::to_string(d->sources) + " sources");
  }
  if (d->tap_rows % 2 == 0 || d->tap_columns % 2 == 0) {
    return ffi::Error::InvalidArgument(
        "jnas: kernel of " + std::to_string(d->tap_rows) + "x" +
        std::to_string(d->tap_columns) + "; expected odd sides");
  }
  JNAS_RETURN_IF_ERROR(CheckShape("the kernel", kernel,
                                  {d->targets, d->tap_rows, d->tap_columns,
                                   d->channels, d->features}));
  JNAS_RETURN_IF_ERROR(CheckType("the output", y, x.element_type()));
  return CheckShape("the output", y,
                    {d->targets, d->batch, d->out_height, d->out_width,
                     d->features});
}

ffi::Error DenseConvolveHandler(ffi::ThreadPool pool, In x, In kernel, Out y,
                                int64_t row_stride, int64_t column_stride,
                                int64_t dilation) {
  DenseShape shape = {};
  JNAS_RETURN_IF_ERROR(DescribeDense(x, kernel, *y, row_stride, column_stride,
                                     dilation, &shape));
  JNAS_RETURN_IF_ERROR(CheckType("the kernel", kernel, x.element_type()));
  if (y->element_count() == 0) return ffi::Error::Success();
  return ForType(x, [&](auto zero) {
    using T = decltype(zero);
    const Dense<T> d = {shape, Data<T>(x), Data<T>(*y), Data<T>(kernel),
                        nullptr};
    ParallelFor(pool, d.sources * d.batch, d.work(), [&](int64_t i) {
      KernelsOf<T>(d.out_width).dense_convolve(d, i);
    });
  });
}

ffi::Error DenseInputGradientHandler(ffi::ThreadPool pool, In kernel, In g,
                                     Out dx, int64_t row_stride,
                                     int64_t column_stride, int64_t dilation) {
  DenseShape shape = {};
  JNAS_RETURN_IF_ERROR(DescribeDense(*dx, kernel, g, row_stride, column_stride,
                                     dilation, &shape));
  JNAS_RETURN_IF_ERROR(CheckType("the kernel", kernel, g.element_type()));
  if (dx->element_count() == 0) return ffi::Error::Success();
  return ForType(g, [&](auto zero) {
    using T = decltype(zero);
    const Dense<T> d = {shape, Data<T>(*dx), Data<T>(g), Data<T>(kernel),
                        nullptr};
    ParallelFor(pool, d.sources * d.batch, d.work(), [&](int64_t i) {
      KernelsOf<T>(d.width).dense_input_gradient(d, i);
    });
  });
}

ffi::Error DenseKernelGradientHandler(ffi::ThreadPool pool, In x, In g, Out dk,
                                      Out partial, int64_t row_stride,
                                      int64_t column_stride,
                                      int64_t dilation) {
  DenseShape shape = {};
  JNAS_RETURN_IF_ERROR(DescribeDense(x, *dk, g, row_stride, column_stride,
                                     dilation, &shape));
  JNAS_RETURN_IF_ERROR(CheckType("the kernel's gradient", *dk, ffi::F32));
  JNAS_RETURN_IF_ERROR(CheckType("the partial sums", *partial, ffi::F32));
  JNAS_RETURN_IF_ERROR(CheckRank("the partial sums", *partial, 6));
  shape.image_blocks = ShapeOf(*partial)[0];
  JNAS_RETURN_IF_ERROR(
      CheckShape("the partial sums", *partial,
                 {shape.image_blocks, shape.targets, shape.tap_rows,
                  shape.tap_columns, shape.channels, shape.features}));
  ffi::Error wrong_type = ForType(x, [&](auto zero) {
    using T = decltype(zero);
    const Dense<T> d = {shape, Data<T>(x), Data<T>(g), nullptr,
                        Data<float>(*partial)};
    ParallelFor(pool, d.sources * d.image_blocks, d.work(), [&](int64_t i) {
      KernelsOf<T>(d.out_width).dense_kernel_gradient(d, i);
    });
  });
  if (wrong_type.failure()) return wrong_type;
  AddBlocks(pool, shape.image_blocks, *partial, *dk);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jnas

#define JNAS_DENSE_WINDOW \
  .Attr<int64_t>("row_stride").Attr<int64_t>("column_stride").Attr<int64_t>( \
      "dilation")

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_dense_convolve, jnas::DenseConvolveHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_RET JNAS_DENSE_WINDOW));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_dense_input_gradient, jnas::DenseInputGradientHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_RET JNAS_DENSE_WINDOW));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_dense_kernel_gradient, jnas::DenseKernelGradientHandler,
    JNAS_BIND(JNAS_ARG JNAS_ARG JNAS_RET JNAS_RET JNAS_DENSE_WINDOW));

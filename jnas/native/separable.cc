// The handlers of ReLU, depthwise and 1x1 convolution and batch norm in one.

#include <cstdint>
#include <string>

#include "arguments.h"
#include "handlers.h"
#include "kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {
namespace {

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
                  [&](int64_t i) { KernelsOf<T>(d.channels).separate(d, i); });
    }
    JoinMoments(images, d.moments, Data<float>(*mean), Data<float>(*var));
    moving.Apply(Data<float>(*mean), Data<float>(*var),
                 norm.stacked * norm.channels);
    const Normalize<T> n = {norm,    d.y,                nullptr,
                            d.y,     nullptr,            Data<float>(*mean),
                            nullptr, Data<float>(*var), eps};
    ParallelFor(pool, n.stacked * n.blocks, n.work(),
                [&](int64_t i) { KernelsOf<T>(d.channels).standardize(n, i); });
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
                  [&](int64_t i) {
                    KernelsOf<T>(d.channels).separate_back(d, i);
                  });
    }
    AddBlocks(pool, shape.image_blocks, *kernel_sums, *dkernel);
    AddBlocks(pool, shape.image_blocks, *matrix_sums, *dmatrix);
  });
}

}  // namespace
}  // namespace jnas

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

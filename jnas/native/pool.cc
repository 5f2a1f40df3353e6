// The handlers of 3x3 pooling and its gradients.

#include <cstdint>
#include <string>

#include "arguments.h"
#include "kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {
namespace {

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
                p.work(),
                [&](int64_t i) {
                  select(KernelsOf<T>(p.channels))(p, i);
                });
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

}  // namespace
}  // namespace jnas

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

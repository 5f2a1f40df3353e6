// What XLA hands to an operation: checks, and the types of its elements.

#ifndef JNAS_NATIVE_ARGUMENTS_H_
#define JNAS_NATIVE_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {

namespace ffi = xla::ffi;

using In = ffi::AnyBuffer;
using Rest = ffi::RemainingArgs;
using Out = ffi::Result<ffi::AnyBuffer>;
using Shape = std::vector<int64_t>;

inline int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline Shape ShapeOf(const ffi::AnyBuffer& buffer) {
  return Shape(buffer.dimensions().begin(), buffer.dimensions().end());
}

inline std::string Print(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

inline ffi::Error CheckShape(const char* name, const ffi::AnyBuffer& buffer,
                      const Shape& expected) {
  if (ShapeOf(buffer) == expected) return ffi::Error::Success();
  return ffi::Error::InvalidArgument(std::string("jnas: ") + name +
                                     " has shape " + Print(ShapeOf(buffer)) +
                                     "; expected " + Print(expected));
}

inline ffi::Error CheckType(const char* name, const ffi::AnyBuffer& buffer,
                     ffi::DataType expected) {
  if (buffer.element_type() == expected) return ffi::Error::Success();
  return ffi::Error::InvalidArgument(
      std::string("jnas: ") + name + " has element type " +
      std::to_string(static_cast<int>(buffer.element_type())) +
      "; expected " + std::to_string(static_cast<int>(expected)));
}

inline ffi::Error CheckRank(const char* name, const ffi::AnyBuffer& buffer,
                     size_t rank) {
  if (buffer.dimensions().size() == rank) return ffi::Error::Success();
  return ffi::Error::InvalidArgument(
      std::string("jnas: ") + name + " has shape " + Print(ShapeOf(buffer)) +
      "; expected " + std::to_string(rank) + " axes");
}

#define JNAS_RETURN_IF_ERROR(expression)               \
  if (ffi::Error error = expression; error.failure()) \
    return error

inline ffi::Error CheckLike(const char* name, const ffi::AnyBuffer& buffer,
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

}  // namespace jnas

// The parts of a handler's signature, for XLA_FFI_DEFINE_HANDLER_SYMBOL.

#define JNAS_BIND(handler) \
  xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>() handler
#define JNAS_ARG .Arg<xla::ffi::AnyBuffer>()
#define JNAS_REST .RemainingArgs()
#define JNAS_RET .Ret<xla::ffi::AnyBuffer>()
#define JNAS_RETS .RemainingRets()
#define JNAS_STRIDE .Attr<int64_t>("stride")
#define JNAS_WINDOW JNAS_STRIDE.Attr<int64_t>("dilation")
#define JNAS_EPS .Attr<float>("eps")
#define JNAS_MOMENTUM .Attr<float>("momentum")

#endif  // JNAS_NATIVE_ARGUMENTS_H_

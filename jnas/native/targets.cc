// The kernels, compiled for each instruction set, and the choice among them.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels.h"

// Everything between begin and end is compiled for the named features.
#if defined(__clang__)
#define JNAS_PRAGMA(text) _Pragma(#text)
#define JNAS_BEGIN_TARGET(features)                                          \
  JNAS_PRAGMA(clang attribute push(__attribute__((target(features))),        \
                                   apply_to = function))
#define JNAS_END_TARGET _Pragma("clang attribute pop")
#else
#define JNAS_PRAGMA(text) _Pragma(#text)
#define JNAS_BEGIN_TARGET(features) \
  _Pragma("GCC push_options") JNAS_PRAGMA(GCC target(features))
#define JNAS_END_TARGET _Pragma("GCC pop_options")
#endif

namespace jnas {

#define JNAS_WIDTH 4
namespace baseline {
#include "kernel_table.h"
}
#undef JNAS_WIDTH

#if defined(__x86_64__)
JNAS_BEGIN_TARGET("avx2,fma")
#define JNAS_WIDTH 8
namespace avx2 {
#include "kernel_table.h"
}
#undef JNAS_WIDTH
JNAS_END_TARGET

JNAS_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define JNAS_WIDTH 16
namespace avx512 {
#include "kernel_table.h"
}
#undef JNAS_WIDTH
JNAS_END_TARGET
#endif

namespace {

enum class Target { kBaseline, kAvx2, kAvx512 };

// The environment may ask for less than the processor has.
Target ChooseTarget() {
#if defined(__x86_64__)
  const char* most = std::getenv("JNAS_NATIVE_ISA");
  auto allowed = [most](const char* name) {
    return most == nullptr || std::strcmp(most, name) == 0;
  };
  __builtin_cpu_init();
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && allowed("avx512")) return Target::kAvx512;
  if (avx2 && (allowed("avx2") || allowed("avx512"))) return Target::kAvx2;
#endif
  return Target::kBaseline;
}

const Target kTarget = ChooseTarget();

}  // namespace

const char* TargetName() {
  switch (kTarget) {
    case Target::kAvx512:
      return "avx512";
    case Target::kAvx2:
      return "avx2";
    default:
#if defined(__aarch64__)
      return "neon";
#else
      return "baseline";
#endif
  }
}

template <typename T>
const Kernels<T>& KernelsOf(int64_t count) {
#if defined(__x86_64__)
  // Few channels leave a part of a wide vector empty, and such a vector is
  // copied before it is worked on; of few pixels it is computed for nothing.
  const bool fits_half = count < 32 && count % 16 != 0;
  if (kTarget == Target::kAvx512 && fits_half) return avx2::kTable<T>;
  if (kTarget == Target::kAvx512) return avx512::kTable<T>;
  if (kTarget == Target::kAvx2) return avx2::kTable<T>;
#endif
  return baseline::kTable<T>;
}

template const Kernels<float>& KernelsOf<float>(int64_t);
template const Kernels<bfloat16>& KernelsOf<bfloat16>(int64_t);

}  // namespace jnas

// Vectors of JNAS_WIDTH floats, as the compilers' own vector types.
//
// Included once per instruction set, hence without a guard: see targets.cc.

inline constexpr int kWidth = JNAS_WIDTH;

typedef float Vector __attribute__((vector_size(kWidth * 4)));
typedef int32_t VectorI32 __attribute__((vector_size(kWidth * 4)));
typedef uint32_t VectorU32 __attribute__((vector_size(kWidth * 4)));
typedef uint16_t VectorU16 __attribute__((vector_size(kWidth * 2)));
typedef uint8_t VectorU8 __attribute__((vector_size(kWidth)));

inline Vector Load(const float* from) {
  Vector v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}

inline Vector Load(const bfloat16* from) {
  VectorU16 bits;
  __builtin_memcpy(&bits, from, sizeof(bits));
  return (Vector)(__builtin_convertvector(bits, VectorU32) << 16);
}

inline VectorI32 Load(const uint8_t* from) {
  VectorU8 bytes;
  __builtin_memcpy(&bytes, from, sizeof(bytes));
  return __builtin_convertvector(bytes, VectorI32);
}

inline void Store(Vector v, float* to) { __builtin_memcpy(to, &v, sizeof(v)); }

// Rounds to the nearest, ties to even; keeps a NaN a NaN.
inline void Store(Vector v, bfloat16* to) {
  VectorU32 bits = (VectorU32)v;
  VectorU32 rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  VectorU32 kept = (VectorU32)(v == v);
  bits = (rounded & kept) | ((bits | 0x400000u) & ~kept);
  VectorU16 high = __builtin_convertvector(bits >> 16, VectorU16);
  __builtin_memcpy(to, &high, sizeof(high));
}

inline void Store(VectorI32 v, uint8_t* to) {
  VectorU8 bytes = __builtin_convertvector(v, VectorU8);
  __builtin_memcpy(to, &bytes, sizeof(bytes));
}

// The first `count` lanes, which may be none or more than all: the others are
// not touched in memory, and 0 once read.
#if JNAS_WIDTH == 16
inline constexpr bool kHasMasks = true;

inline __mmask16 MaskOf(int64_t count) {
  return count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1;
}

inline Vector LoadFirst(const float* from, int64_t count) {
  return (Vector)_mm512_maskz_loadu_ps(MaskOf(count), from);
}

inline void StoreFirst(Vector v, float* to, int64_t count) {
  _mm512_mask_storeu_ps(to, MaskOf(count), (__m512)v);
}
#elif JNAS_WIDTH == 8
inline constexpr bool kHasMasks = true;

inline __m256i MaskOf(int64_t count) {
  const VectorI32 lanes = {0, 1, 2, 3, 4, 5, 6, 7};
  const int32_t limit = count >= 8 ? 8 : count <= 0 ? 0 : count;
  return (__m256i)(lanes < limit);
}

inline Vector LoadFirst(const float* from, int64_t count) {
  return (Vector)_mm256_maskload_ps(from, MaskOf(count));
}

inline void StoreFirst(Vector v, float* to, int64_t count) {
  _mm256_maskstore_ps(to, MaskOf(count), (__m256)v);
}
#else
inline constexpr bool kHasMasks = false;

Vector LoadFirst(const float*, int64_t);
void StoreFirst(Vector, float*, int64_t);
#endif

// Not a sum: x + 0 is not x where x is -0, and would be computed.
inline Vector Broadcast(float value) { return value - Vector{}; }

// N vectors of neighbouring channels, the last `count` of which may end early.
template <int N, bool kWhole>
struct Channels {
  static constexpr int kVectors = N;
  static constexpr int kLanes = N * kWidth;
  static constexpr bool kIsWhole = kWhole;
  int64_t begin, count;

  template <typename T>
  auto Read(const T* from, int n) const {
    if constexpr (kWhole) return Load(from + n * kWidth);
    if constexpr (kHasMasks && std::is_same_v<T, float>) {
      return LoadFirst(from + n * kWidth, count - n * kWidth);
    }
    T lanes[kWidth] = {};
    for (int i = 0; i < kWidth && n * kWidth + i < count; ++i) {
      lanes[i] = from[n * kWidth + i];
    }
    return Load(lanes);
  }

  template <typename V, typename T>
  void Write(V value, T* to, int n) const {
    if constexpr (kWhole) return Store(value, to + n * kWidth);
    if constexpr (kHasMasks && std::is_same_v<V, Vector> &&
                  std::is_same_v<T, float>) {
      return StoreFirst(value, to + n * kWidth, count - n * kWidth);
    }
    T lanes[kWidth];
    Store(value, lanes);
    for (int i = 0; i < kWidth && n * kWidth + i < count; ++i) {
      to[n * kWidth + i] = lanes[i];
    }
  }
};

// Calls body(Channels) for blocks of 16 channels, of 8, and what remains.
template <typename Body>
inline void ForEachBlock(int64_t channels, Body body) {
  constexpr int kSmall = kWidth <= 8 ? 8 / kWidth : 1;
  int64_t c = 0;
  for (; c + kChannelBlock <= channels; c += kChannelBlock) {
    body(Channels<kChannelBlock / kWidth, true>{c, kChannelBlock});
  }
  if (kWidth <= 8 && c + 8 <= channels) {
    body(Channels<kSmall, true>{c, 8});
    c += 8;
  }
  if (c < channels) body(Channels<kSmall, false>{c, channels - c});
}

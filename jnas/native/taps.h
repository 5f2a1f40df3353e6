// The two loops that all convolutions and their gradients come down to.
//
// `Correlate` is a sum over taps with several columns of output held in
// registers, `Accumulate` a sum over pixels with several taps held there.
//
// Included once per instruction set, hence without a guard: see targets.cc.

// The accumulators that fit into registers beside their operands.
inline constexpr int kAccumulators = kWidth == 4 ? 8 : 12;

// A tap's distance from the output pixel, in floats, and its weights.
struct Taps {
  int64_t count = 0;
  int64_t* offsets;
  float* weights;
};

template <int N, int Q, int kStep>
inline void CorrelateColumns(const float* in, int64_t step, const Taps& taps,
                             float* out, int64_t out_step, bool add) {
  if (kStep > 0) step = kStep * N * kWidth;
  Vector sums[Q][N];
#pragma GCC unroll 16
  for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      sums[q][n] = add ? Load(out + q * out_step + n * kWidth) : Vector{};
    }
  }
  const float* weights = taps.weights;
  for (int64_t t = 0; t < taps.count; ++t, weights += N * kWidth) {
    const float* x = in + taps.offsets[t];
    Vector w[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) w[n] = Load(weights + n * kWidth);
#pragma GCC unroll 16
    for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) {
        sums[q][n] += Load(x + q * step + n * kWidth) * w[n];
      }
    }
  }
#pragma GCC unroll 16
  for (int q = 0; q < Q; ++q) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      Store(sums[q][n], out + q * out_step + n * kWidth);
    }
  }
}

// out[r, q] (+)= sum over taps of in[r, q + tap] * weight[tap].
template <int N, int kStep>
inline void CorrelateRows(const float* in, int64_t in_row, int64_t step,
                          const Taps& taps, float* out, int64_t out_row,
                          int64_t out_step, int64_t rows, int64_t columns,
                          bool add) {
  constexpr int Q = std::max(1, 8 / N);
  for (int64_t r = 0; r < rows; ++r, in += in_row, out += out_row) {
    int64_t q = 0;
    for (; q + Q <= columns; q += Q) {
      CorrelateColumns<N, Q, kStep>(in + q * step, step, taps,
                                    out + q * out_step, out_step, add);
    }
    if (Q > 2 && q + Q / 2 <= columns) {
      CorrelateColumns<N, std::max(1, Q / 2), kStep>(
          in + q * step, step, taps, out + q * out_step, out_step, add);
      q += Q / 2;
    }
    for (; q < columns; ++q) {
      CorrelateColumns<N, 1, kStep>(in + q * step, step, taps,
                                    out + q * out_step, out_step, add);
    }
  }
}

template <int N>
inline void Correlate(int64_t stride, const float* in, int64_t in_row,
                      const Taps& taps, float* out, int64_t out_row,
                      int64_t out_step, int64_t rows, int64_t columns,
                      bool add) {
  const int64_t step = stride * N * kWidth;
  auto run = stride == 1   ? CorrelateRows<N, 1>
             : stride == 2 ? CorrelateRows<N, 2>
                           : CorrelateRows<N, 0>;
  run(in, in_row, step, taps, out, out_row, out_step, rows, columns, add);
}

// The pixels of a block of output gradients and the tile they were read from.
struct Pixels {
  const float* x;
  const float* g;
  int64_t x_row, x_step, g_row, g_step, rows, columns;
};

// sums[tap] += sum over pixels of x[pixel + tap] * g[pixel], G taps at once.
template <typename Block, int G>
inline void AccumulateTaps(Block block, const Pixels& pixels,
                           const int64_t* offsets, float* sums,
                           int64_t channels) {
  constexpr int N = Block::kVectors;
  Vector acc[G][N] = {};
  for (int64_t r = 0; r < pixels.rows; ++r) {
    const float* x = pixels.x + r * pixels.x_row;
    const float* g = pixels.g + r * pixels.g_row;
    for (int64_t q = 0; q < pixels.columns; ++q) {
      Vector v[N];
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) v[n] = Load(g + n * kWidth);
#pragma GCC unroll 12
      for (int t = 0; t < G; ++t) {
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
          acc[t][n] += Load(x + offsets[t] + n * kWidth) * v[n];
        }
      }
      x += pixels.x_step;
      g += pixels.g_step;
    }
  }
  for (int t = 0; t < G; ++t) {
    for (int n = 0; n < N; ++n) {
      float* to = sums + t * channels;
      block.Write(block.Read(to, n) + acc[t][n], to, n);
    }
  }
}

template <typename Block, int G>
inline void AccumulateGroup(Block block, int64_t count, const Pixels& pixels,
                            const int64_t* offsets, float* sums,
                            int64_t channels) {
  if constexpr (G > 0) {
    if (count < G) {
      AccumulateGroup<Block, G - 1>(block, count, pixels, offsets, sums,
                                    channels);
    } else {
      AccumulateTaps<Block, G>(block, pixels, offsets, sums, channels);
    }
  }
}

// The same for all taps, in groups of about the same size.
template <typename Block>
inline void Accumulate(Block block, int64_t num_taps, const Pixels& pixels,
                       const int64_t* offsets, float* sums, int64_t channels) {
  constexpr int kGroup = std::max(1, kAccumulators / Block::kVectors);
  const int64_t groups = (num_taps + kGroup - 1) / kGroup;
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t begin = group * num_taps / groups;
    const int64_t end = (group + 1) * num_taps / groups;
    AccumulateGroup<Block, kGroup>(block, end - begin, pixels, offsets + begin,
                                   sums + begin * channels, channels);
  }
}

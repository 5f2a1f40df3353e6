// Depthwise convolution and its two gradients, one block of rows at a time.
//
// A block of an image is first copied into a tile: float32, a whole number of
// vectors of channels, zeros where padding is. What follows then has no edge
// to look after, and all three kernels come down to two loops: `Correlate`,
// a sum over taps with four columns of output held in registers, and
// `Accumulate`, a sum over pixels with several taps held in registers.
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

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

inline int64_t FloorDivide(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

// What is left of v behind a gate; a NaN in either passes.
inline Vector PassGate(Vector v, Vector gate) {
  return gate <= Vector{} ? Vector{} : v;
}

// Copies rows and columns of an image, some of which may lie outside it.
template <typename Block, typename T>
inline void Pack(Block block, const T* image, const T* gate, int64_t height,
                 int64_t width, int64_t channels, Range rows, Range columns,
                 float* tile) {
  constexpr int kLanes = Block::kLanes;
  const int64_t pitch = columns.size() * kLanes;
  const int64_t left = std::clamp<int64_t>(-columns.begin, 0, columns.size());
  const int64_t right =
      std::clamp<int64_t>(width - columns.begin, left, columns.size());
  for (int64_t h = rows.begin; h < rows.end; ++h, tile += pitch) {
    if (h < 0 || h >= height) {
      std::memset(tile, 0, pitch * sizeof(float));
      continue;
    }
    const int64_t from =
        (h * width + columns.begin) * channels + block.begin;
    auto copy = [&](auto read) {
      for (int64_t w = left; w < right; ++w) {
        for (int n = 0; n < Block::kVectors; ++n) {
          Store(read(from + w * channels, n), tile + w * kLanes + n * kWidth);
        }
      }
    };
    std::memset(tile, 0, left * kLanes * sizeof(float));
    if (gate == nullptr) {
      copy([&](int64_t at, int n) { return block.Read(image + at, n); });
    } else if (gate == image) {
      copy([&](int64_t at, int n) {
        Vector v = block.Read(image + at, n);
        return PassGate(v, v);
      });
    } else {
      copy([&](int64_t at, int n) {
        return PassGate(block.Read(image + at, n), block.Read(gate + at, n));
      });
    }
    std::memset(tile + right * kLanes, 0,
                (columns.size() - right) * kLanes * sizeof(float));
  }
}

// Zeroes those numbers of whole pixels, `step` apart, that a gate holds back.
template <typename Block, typename T>
inline void ApplyGate(Block block, const T* gate, int64_t pixels,
                      int64_t channels, float* pixel, int64_t step) {
  for (int64_t p = 0; p < pixels; ++p, pixel += step) {
    for (int n = 0; n < Block::kVectors; ++n) {
      Vector open = block.Read(gate + p * channels + block.begin, n);
      Store(PassGate(Load(pixel + n * kWidth), open), pixel + n * kWidth);
    }
  }
}

// Copies a tile of whole pixels into an image.
template <typename Block, typename T>
inline void Unpack(Block block, const float* tile, int64_t pixels,
                   int64_t channels, T* image) {
  for (int64_t p = 0; p < pixels; ++p) {
    for (int n = 0; n < Block::kVectors; ++n) {
      block.Write(Load(tile + p * Block::kLanes + n * kWidth),
                  image + p * channels + block.begin, n);
    }
  }
}

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

// The weights of tap (i, j), [C] of [k, k, C], as whole vectors.
template <typename Block, typename T>
inline void PackWeights(Block block, const T* kernel, int64_t channels,
                        float* to) {
  for (int n = 0; n < Block::kVectors; ++n) {
    Store(block.Read(kernel + block.begin, n), to + n * kWidth);
  }
}

// The gate from a place on; none if there is none.
template <typename T>
inline const T* GateOf(const Depthwise<T>& d, int64_t place) {
  return d.gate == nullptr ? nullptr : d.gate + place;
}

template <typename T>
void Convolve(const Depthwise<T>& d, int64_t index) {
  const int64_t band = index % d.bands;
  const int64_t image = index / d.bands;  // source and image in one
  const int64_t source = image / d.batch;
  const int64_t multiplier = d.targets / d.sources;
  const int64_t reach = (d.taps - 1) * d.dilation;
  const Range out_rows = {band * d.band_rows,
                          std::min((band + 1) * d.band_rows, d.out_height)};
  const int64_t first = out_rows.begin * d.stride - d.padding();
  const int64_t last = (out_rows.end - 1) * d.stride - d.padding() + reach;
  const Range rows = {first, last + 1};
  const Range columns = {
      -d.padding(), (d.out_width - 1) * d.stride - d.padding() + reach + 1};
  const int64_t in_size = d.height * d.width * d.channels;
  const int64_t out_size = d.out_height * d.out_width * d.channels;

  ForEachBlock(d.channels, [&](auto block) {
    using Block = decltype(block);
    constexpr int kLanes = Block::kLanes;
    constexpr bool kDirect = std::is_same_v<T, float> && Block::kIsWhole;
    const int64_t pitch = columns.size() * kLanes;
    const int64_t out_pixels = out_rows.size() * d.out_width;
    const int64_t num_taps = d.taps * d.taps;
    Scratch scratch;
    float* tile = scratch.Take<float>(rows.size() * pitch);
    float* out_tile = scratch.Take<float>(kDirect ? 0 : out_pixels * kLanes);
    Taps taps = {num_taps, scratch.Take<int64_t>(num_taps),
                 scratch.Take<float>(num_taps * kLanes)};
    for (int64_t t = 0; t < num_taps; ++t) {
      taps.offsets[t] = t / d.taps * d.dilation * pitch +
                        t % d.taps * d.dilation * kLanes;
    }
    Pack(block, d.x + image * in_size, GateOf(d, image * in_size), d.height,
         d.width, d.channels, rows, columns, tile);
    for (int64_t m = 0; m < multiplier; ++m) {
      const int64_t target = source * multiplier + m;
      for (int64_t t = 0; t < num_taps; ++t) {
        PackWeights(block, d.kernel + (target * num_taps + t) * d.channels,
                    d.channels, taps.weights + t * kLanes);
      }
      T* y = d.y + (target * d.batch + image % d.batch) * out_size +
             out_rows.begin * d.out_width * d.channels;
      float* out;
      if constexpr (kDirect) {
        out = y + block.begin;
      } else {
        out = out_tile;
      }
      const int64_t out_step = kDirect ? d.channels : kLanes;
      Correlate<Block::kVectors>(d.stride, tile, d.stride * pitch, taps, out,
                                 d.out_width * out_step, out_step,
                                 out_rows.size(), d.out_width, false);
      if constexpr (!kDirect) Unpack(block, out, out_pixels, d.channels, y);
    }
  });
}

// Pixels of the input gradient that are `stride` apart read the same taps. So
// each of the stride * stride sets of them is a convolution of stride 1 with
// the taps that hit an output. Tap i of pixel stride * u + phase reads output
// u + (phase + padding - i * dilation) / stride, where that is whole.
struct Phases {
  explicit Phases(const DepthwiseShape& d)
      : low(FloorDivide(d.padding() - (d.taps - 1) * d.dilation, d.stride)),
        high(FloorDivide(d.stride - 1 + d.padding(), d.stride)) {}

  // The outputs that the pixels of these u read.
  Range Reads(Range u) const { return {u.begin + low, u.end + high}; }

  const int64_t low, high;
};

// Writes, or adds, `rows` rows of the input gradient from a tile of the output
// gradient that begins where the first of them reads.
template <typename Block, typename T>
inline void GatherGradient(Block block, const DepthwiseShape& d,
                           const T* kernel, const Phases& phases,
                           const float* tile, int64_t pitch, Taps& taps,
                           float* out, int64_t step, int64_t rows, bool add) {
  const int64_t s = d.stride;
  for (int64_t phase = 0; phase < s * s; ++phase) {
    const int64_t row = phase / s, column = phase % s;
    taps.count = 0;
    for (int64_t t = 0; t < d.taps * d.taps; ++t) {
      int64_t h = row + d.padding() - t / d.taps * d.dilation;
      int64_t w = column + d.padding() - t % d.taps * d.dilation;
      if (h % s != 0 || w % s != 0) continue;
      taps.offsets[taps.count] = (h / s - phases.low) * pitch +
                                 (w / s - phases.low) * Block::kLanes;
      PackWeights(block, kernel + t * d.channels, d.channels,
                  taps.weights + taps.count * Block::kLanes);
      ++taps.count;
    }
    Correlate<Block::kVectors>(
        1, tile, pitch, taps, out + (row * d.width + column) * step,
        s * d.width * step, s * step, (rows - row + s - 1) / s,
        (d.width - column + s - 1) / s, add);
  }
}

template <typename T>
void InputGradient(const Depthwise<T>& d, int64_t index) {
  const int64_t band = index % d.bands;
  const int64_t image = index / d.bands;
  const int64_t source = image / d.batch;
  const int64_t multiplier = d.targets / d.sources;
  const Phases phases(d);
  const Range coarse = {band * d.band_rows,
                        std::min((band + 1) * d.band_rows, d.out_height)};
  const Range rows = phases.Reads(coarse);
  const Range columns = phases.Reads({0, d.out_width});
  const Range out_rows = {coarse.begin * d.stride,
                          std::min(coarse.end * d.stride, d.height)};
  const int64_t in_size = d.height * d.width * d.channels;
  const int64_t out_size = d.out_height * d.out_width * d.channels;

  ForEachBlock(d.channels, [&](auto block) {
    using Block = decltype(block);
    constexpr int kLanes = Block::kLanes;
    constexpr bool kDirect = std::is_same_v<T, float> && Block::kIsWhole;
    const int64_t pitch = columns.size() * kLanes;
    const int64_t pixels = out_rows.size() * d.width;
    Scratch scratch;
    float* tile = scratch.Take<float>(rows.size() * pitch);
    float* out_tile = scratch.Take<float>(kDirect ? 0 : pixels * kLanes);
    Taps taps = {0, scratch.Take<int64_t>(d.taps * d.taps),
                 scratch.Take<float>(d.taps * d.taps * kLanes)};
    const int64_t to = image * in_size + out_rows.begin * d.width * d.channels;
    T* dx = d.x + to;
    float* out;
    if constexpr (kDirect) {
      out = dx + block.begin;
    } else {
      out = out_tile;
    }
    const int64_t step = kDirect ? d.channels : kLanes;
    for (int64_t m = 0; m < multiplier; ++m) {
      const int64_t target = source * multiplier + m;
      const T* y = d.y + (target * d.batch + image % d.batch) * out_size;
      Pack<Block, T>(block, y, nullptr, d.out_height, d.out_width, d.channels,
                     rows, columns, tile);
      GatherGradient(block, d, d.kernel + target * d.taps * d.taps * d.channels,
                     phases, tile, pitch, taps, out, step, out_rows.size(),
                     m > 0);
    }
    if (d.gate != nullptr) {
      ApplyGate(block, d.gate + to, pixels, d.channels, out, step);
    }
    if constexpr (!kDirect) Unpack(block, out, pixels, d.channels, dx);
  });
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

template <typename T>
void KernelGradient(const Depthwise<T>& d, int64_t index) {
  const int64_t source = index / d.image_blocks;
  const int64_t image_block = index % d.image_blocks;
  const Range images = {image_block * d.batch / d.image_blocks,
                        (image_block + 1) * d.batch / d.image_blocks};
  const int64_t multiplier = d.targets / d.sources;
  const int64_t reach = (d.taps - 1) * d.dilation;
  const int64_t num_taps = d.taps * d.taps;
  const Range columns = {
      -d.padding(), (d.out_width - 1) * d.stride - d.padding() + reach + 1};
  const int64_t in_size = d.height * d.width * d.channels;
  const int64_t out_size = d.out_height * d.out_width * d.channels;
  float* sums = d.partial + (image_block * d.targets + source * multiplier) *
                                num_taps * d.channels;
  std::memset(sums, 0,
              multiplier * num_taps * d.channels * sizeof(float));

  ForEachBlock(d.channels, [&](auto block) {
    using Block = decltype(block);
    constexpr int kLanes = Block::kLanes;
    constexpr bool kDirect = std::is_same_v<T, float> && Block::kIsWhole;
    const int64_t pitch = columns.size() * kLanes;
    Scratch scratch;
    const int64_t tile_rows = (d.band_rows - 1) * d.stride + reach + 1;
    float* tile = scratch.Take<float>(tile_rows * pitch);
    float* g_tile = scratch.Take<float>(
        kDirect ? 0 : d.band_rows * d.out_width * kLanes);
    int64_t* offsets = scratch.Take<int64_t>(num_taps);
    for (int64_t t = 0; t < num_taps; ++t) {
      offsets[t] = t / d.taps * d.dilation * pitch +
                   t % d.taps * d.dilation * kLanes;
    }
    for (int64_t i = images.begin * d.bands; i < images.end * d.bands; ++i) {
      const int64_t image = i / d.bands, band = i % d.bands;
      const Range out_rows = {
          band * d.band_rows,
          std::min((band + 1) * d.band_rows, d.out_height)};
      const int64_t first = out_rows.begin * d.stride - d.padding();
      const int64_t last = (out_rows.end - 1) * d.stride - d.padding() + reach;
      const int64_t from = (source * d.batch + image) * in_size;
      Pack(block, d.x + from, GateOf(d, from), d.height, d.width, d.channels,
           {first, last + 1}, columns, tile);
      for (int64_t m = 0; m < multiplier; ++m) {
        const int64_t target = source * multiplier + m;
        const T* y = d.y + (target * d.batch + image) * out_size;
        const float* g;
        if constexpr (kDirect) {
          g = y + out_rows.begin * d.out_width * d.channels + block.begin;
        } else {
          Pack<Block, T>(block, y, nullptr, d.out_height, d.out_width,
                         d.channels, out_rows, {0, d.out_width}, g_tile);
          g = g_tile;
        }
        const int64_t g_step = kDirect ? d.channels : kLanes;
        const Pixels pixels = {tile,
                               g,
                               d.stride * pitch,
                               d.stride * kLanes,
                               d.out_width * g_step,
                               g_step,
                               out_rows.size(),
                               d.out_width};
        Accumulate(block, num_taps, pixels, offsets,
                   sums + m * num_taps * d.channels + block.begin, d.channels);
      }
    }
  });
}

// ReLU, depthwise and 1x1 convolution, one image at a time, and the gradient of
// both with that of the batch norm behind them.
//
// These are bound by memory, not by arithmetic: an image is read once, what
// lies between the convolutions lives in the second-level cache only, and is
// computed again for the gradients.
//
// Included once per instruction set, hence without a guard: see targets.cc.

// Channels in whole blocks: the distance of pixels in a tile of all of them.
inline int64_t RoundToBlock(int64_t channels) {
  return (channels + kChannelBlock - 1) / kChannelBlock * kChannelBlock;
}

// out[p] = sum over i < count of in[p, i] * weights[i], P pixels at once.
template <int N, int P>
inline void MultiplyPixels(const float* in, int64_t in_step, int64_t count,
                           const float* weights, float* out,
                           int64_t out_step) {
  Vector sums[P][N] = {};
  // Few distances and few pointers: more do not fit into registers.
  const int64_t steps[4] = {0, in_step, 2 * in_step, 3 * in_step};
  const float* const bases[2] = {in, in + 4 * in_step};
  for (int64_t i = 0; i < count; ++i, weights += N * kWidth) {
    Vector w[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) w[n] = Load(weights + n * kWidth);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const Vector x = Broadcast(bases[p / 4][steps[p % 4] + i]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[p][n] += x * w[n];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      Store(sums[p][n], out + p * out_step + n * kWidth);
    }
  }
}

template <int N>
inline void Multiply(const float* in, int64_t in_step, int64_t count,
                     const float* weights, float* out, int64_t out_step,
                     int64_t pixels) {
  constexpr int P = std::max(1, 8 / N);
  int64_t p = 0;
  for (; p + P <= pixels; p += P) {
    MultiplyPixels<N, P>(in + p * in_step, in_step, count, weights,
                         out + p * out_step, out_step);
  }
  for (; p < pixels; ++p) {
    MultiplyPixels<N, 1>(in + p * in_step, in_step, count, weights,
                         out + p * out_step, out_step);
  }
}

// sums[i] += sum over pixels of in[p, i] * g[p], G places i at once.
template <typename Block, int G>
inline void AddProducts(Block block, const float* in, int64_t in_step,
                        const float* g, int64_t g_step, int64_t pixels,
                        float* sums, int64_t features) {
  constexpr int N = Block::kVectors;
  Vector acc[G][N] = {};
  for (int64_t p = 0; p < pixels; ++p, in += in_step, g += g_step) {
    Vector v[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) v[n] = Load(g + n * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < G; ++i) {
      const Vector x = Broadcast(in[i]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) acc[i][n] += x * v[n];
    }
  }
  for (int i = 0; i < G; ++i) {
    for (int n = 0; n < N; ++n) {
      float* to = sums + i * features;
      block.Write(block.Read(to, n) + acc[i][n], to, n);
    }
  }
}

// The input of all channels behind the ReLU, padded, a tile for each block of
// channels, and the places that a pixel's taps read.
struct Input {
  Range rows, columns;
  float* tiles;
  int64_t* offsets;  // in pixels

  int64_t pixels() const { return rows.size() * columns.size(); }
};

template <typename T>
inline Input PlaceInput(const Separable<T>& d, Scratch& scratch) {
  const int64_t reach = (d.taps - 1) * d.dilation;
  Input in;
  in.rows = {-d.padding(),
             (d.out_height - 1) * d.stride - d.padding() + reach + 1};
  in.columns = {-d.padding(),
                (d.out_width - 1) * d.stride - d.padding() + reach + 1};
  in.tiles = scratch.Take<float>(in.pixels() * RoundToBlock(d.channels));
  in.offsets = scratch.Take<int64_t>(d.taps * d.taps);
  for (int64_t t = 0; t < d.taps * d.taps; ++t) {
    in.offsets[t] = t / d.taps * d.dilation * in.columns.size() +
                    t % d.taps * d.dilation;
  }
  return in;
}

template <typename T>
inline void ReadInput(const Separable<T>& d, const Input& in, int64_t image) {
  const T* x = d.x + image * d.height * d.width * d.channels;
  ForEachBlock(d.channels, [&](auto block) {
    Pack(block, x, x, d.height, d.width, d.channels, in.rows, in.columns,
         in.tiles + block.begin * in.pixels());
  });
}

// The depthwise convolution of a block of channels, pixels `out_step` apart.
template <typename Block, typename T>
inline void Filter(Block block, const Separable<T>& d, const Input& in,
                   int64_t target, const Taps& taps, float* out,
                   int64_t out_step) {
  constexpr int kLanes = Block::kLanes;
  const int64_t pitch = in.columns.size() * kLanes;
  for (int64_t t = 0; t < taps.count; ++t) {
    taps.offsets[t] = in.offsets[t] * kLanes;
    PackWeights(block, d.kernel + (target * taps.count + t) * d.channels,
                d.channels, taps.weights + t * kLanes);
  }
  Correlate<Block::kVectors>(
      d.stride, in.tiles + block.begin * in.pixels(), d.stride * pitch, taps,
      out, d.out_width * out_step, out_step, d.out_height, d.out_width, false);
}

// Writes an image before its norm, and the moments of its channels.
template <typename T>
void Separate(const Separable<T>& d, int64_t index) {
  const int64_t source = index / d.batch, image = index % d.batch;
  const int64_t multiplier = d.targets / d.sources;
  const int64_t pixels = d.out_height * d.out_width;
  const int64_t step = RoundToBlock(d.channels);
  const int64_t num_taps = d.taps * d.taps;
  Scratch scratch;
  const Input in = PlaceInput(d, scratch);
  Taps taps = {num_taps, scratch.Take<int64_t>(num_taps),
               scratch.Take<float>(num_taps * kChannelBlock)};
  float* filtered = scratch.Take<float>(pixels * step);
  float* weights = scratch.Take<float>(d.channels * kChannelBlock);
  float* out = scratch.Take<float>(pixels * kChannelBlock);
  ReadInput(d, in, index);
  for (int64_t m = 0; m < multiplier; ++m) {
    const int64_t target = source * multiplier + m;
    ForEachBlock(d.channels, [&](auto block) {
      Filter(block, d, in, target, taps, filtered + block.begin, step);
    });
    T* y = d.y + (target * d.batch + image) * pixels * d.features;
    float* moments =
        d.moments + (target * d.batch + image) * 2 * d.features;
    ForEachBlock(d.features, [&](auto block) {
      using Block = decltype(block);
      constexpr int N = Block::kVectors;
      for (int64_t c = 0; c < d.channels; ++c) {
        PackWeights(block, d.matrix + (target * d.channels + c) * d.features,
                    d.features, weights + c * Block::kLanes);
      }
      Multiply<N>(filtered, step, d.channels, weights, out, Block::kLanes,
                  pixels);
      Unpack(block, out, pixels, d.features, y);
      Vector mean[N], squares[N];
      MomentsOf<N>(
          pixels,
          [&](int64_t p, int n) {
            return Load(out + p * Block::kLanes + n * kWidth);
          },
          mean, squares);
      for (int n = 0; n < N; ++n) {
        block.Write(mean[n], moments + block.begin, n);
        block.Write(squares[n], moments + d.features + block.begin, n);
      }
    });
  }
}

// The gradient before the norm of an image, pixels `step` apart.
template <typename T>
inline void ProjectImage(const Separable<T>& d, int64_t target, int64_t image,
                         float* out, int64_t step) {
  const int64_t pixels = d.out_height * d.out_width;
  const int64_t first = (target * d.batch + image) * pixels * d.features;
  ForEachBlock(d.features, [&](auto block) {
    using Block = decltype(block);
    constexpr int N = Block::kVectors;
    const int64_t channel = target * d.features + block.begin;
    Vector scale[N], mean[N], second[N];
    for (int n = 0; n < N; ++n) {
      scale[n] = InverseDeviation(block, d.var + channel, d.eps, n);
      mean[n] = block.Read(d.mean + channel, n);
      second[n] = block.Read(d.second + channel, n);
    }
    for (int64_t p = 0; p < pixels; ++p) {
      const int64_t at = first + p * d.features + block.begin;
      for (int n = 0; n < N; ++n) {
        Vector rest = block.Read(d.g + at, n) - mean[n] -
                      block.Read(d.y + at, n) * second[n];
        Store(rest * scale[n], out + p * step + block.begin + n * kWidth);
      }
    }
  });
}

template <typename Block, int G>
inline void AddProductsGroup(Block block, int64_t count, const float* in,
                             int64_t in_step, const float* g, int64_t g_step,
                             int64_t pixels, float* sums, int64_t features) {
  if constexpr (G > 0) {
    if (count < G) {
      AddProductsGroup<Block, G - 1>(block, count, in, in_step, g, g_step,
                                     pixels, sums, features);
    } else {
      AddProducts<Block, G>(block, in, in_step, g, g_step, pixels, sums,
                            features);
    }
  }
}

// Adds the gradient of the rows of a matrix that `count` channels have.
template <typename T>
inline void AddMatrixGradient(const Separable<T>& d, int64_t count,
                              const float* filtered, int64_t in_step,
                              const float* g, int64_t g_step, float* sums) {
  ForEachBlock(d.features, [&](auto block) {
    using Block = decltype(block);
    constexpr int kGroup = std::max(1, kAccumulators / Block::kVectors);
    const int64_t groups = (count + kGroup - 1) / kGroup;
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t begin = group * count / groups;
      const int64_t end = (group + 1) * count / groups;
      AddProductsGroup<Block, kGroup>(
          block, end - begin, filtered + begin, in_step, g + block.begin,
          g_step, d.out_height * d.out_width,
          sums + begin * d.features + block.begin, d.features);
    }
  });
}

template <typename T>
void SeparateBack(const Separable<T>& d, int64_t index) {
  const int64_t source = index / d.image_blocks;
  const int64_t image_block = index % d.image_blocks;
  const Range images = {image_block * d.batch / d.image_blocks,
                        (image_block + 1) * d.batch / d.image_blocks};
  const int64_t multiplier = d.targets / d.sources;
  const int64_t num_taps = d.taps * d.taps;
  const int64_t out_pixels = d.out_height * d.out_width;
  const int64_t x_pixels = d.height * d.width;
  const int64_t g_step = RoundToBlock(d.features);
  const int64_t x_step = RoundToBlock(d.channels);
  const Phases phases(d);
  const Range rows = phases.Reads({0, d.out_height});
  const Range columns = phases.Reads({0, d.out_width});
  const int64_t tile_size = rows.size() * columns.size() * kChannelBlock;
  Scratch scratch;
  const Input in = PlaceInput(d, scratch);
  Taps taps = {num_taps, scratch.Take<int64_t>(num_taps),
               scratch.Take<float>(num_taps * kChannelBlock)};
  float* g = scratch.Take<float>(out_pixels * g_step);
  float* filtered = scratch.Take<float>(out_pixels * kChannelBlock);
  float* weights = scratch.Take<float>(d.features * kChannelBlock);
  float* tile = scratch.Take<float>(tile_size);
  float* dx = scratch.Take<float>(x_pixels * x_step);
  const bool is_complete = d.dkernel != nullptr;
  const int64_t first = image_block * d.targets + source * multiplier;
  const int64_t kernel_size = num_taps * d.channels;
  const int64_t matrix_size = d.channels * d.features;
  float *dkernel = nullptr, *dmatrix = nullptr;
  if (is_complete) {
    dkernel = d.dkernel + first * kernel_size;
    dmatrix = d.dmatrix + first * matrix_size;
    std::memset(dkernel, 0, multiplier * kernel_size * sizeof(float));
    std::memset(dmatrix, 0, multiplier * matrix_size * sizeof(float));
  }
  for (int64_t i = images.begin; i < images.end; ++i) {
    const int64_t image = source * d.batch + i;
    if (is_complete) ReadInput(d, in, image);
    for (int64_t m = 0; m < multiplier; ++m) {
      const int64_t target = source * multiplier + m;
      const T* kernel = d.kernel + target * kernel_size;
      ProjectImage(d, target, i, g, g_step);
      ForEachBlock(d.channels, [&](auto block) {
        using Block = decltype(block);
        constexpr int kLanes = Block::kLanes;
        const int64_t pitch = columns.size() * kLanes;
        // The gradient between the convolutions, and zeros around it.
        float* inside = tile - rows.begin * pitch - columns.begin * kLanes;
        for (int64_t f = 0; f < d.features; ++f) {
          PackWeights(block,
                      d.transposed + (target * d.features + f) * d.channels,
                      d.channels, weights + f * kLanes);
        }
        std::memset(tile, 0, tile_size * sizeof(float));
        for (int64_t h = 0; h < d.out_height; ++h) {
          Multiply<Block::kVectors>(g + h * d.out_width * g_step, g_step,
                                    d.features, weights, inside + h * pitch,
                                    kLanes, d.out_width);
        }
        if (is_complete) {
          taps.count = num_taps;
          Filter(block, d, in, target, taps, filtered, kLanes);
          AddMatrixGradient(
              d, block.count, filtered, kLanes, g, g_step,
              dmatrix + m * matrix_size + block.begin * d.features);
          const int64_t in_pitch = in.columns.size() * kLanes;
          const Pixels pixels = {in.tiles + block.begin * in.pixels(),
                                 inside,
                                 d.stride * in_pitch,
                                 d.stride * kLanes,
                                 pitch,
                                 kLanes,
                                 d.out_height,
                                 d.out_width};
          Accumulate(block, num_taps, pixels, taps.offsets,
                     dkernel + m * kernel_size + block.begin, d.channels);
        }
        GatherGradient(block, d, kernel, phases, tile, pitch, taps,
                       dx + block.begin, x_step, d.height, m > 0);
      });
    }
    const int64_t at = image * x_pixels * d.channels;
    ForEachBlock(d.channels, [&](auto block) {
      ApplyGate(block, d.x + at, x_pixels, d.channels, dx + block.begin,
                x_step);
      for (int64_t p = 0; p < x_pixels; ++p) {
        for (int n = 0; n < decltype(block)::kVectors; ++n) {
          block.Write(Load(dx + p * x_step + block.begin + n * kWidth),
                      d.dx + at + p * d.channels + block.begin, n);
        }
      }
    });
  }
}

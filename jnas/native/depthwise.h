// Depthwise convolution and its two gradients, one block of rows at a time.
//
// Included once per instruction set, hence without a guard: see targets.cc.

inline int64_t FloorDivide(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
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

// Copies between images and tiles.
//
// A tile is a block of an image as the loops of taps.h want it: float32, a
// whole number of vectors of channels, zeros where padding is. What follows
// then has no edge to look after.
//
// Included once per instruction set, hence without a guard: see targets.cc.

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

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

// The weights of tap (i, j), [C] of [k, k, C], as whole vectors.
template <typename Block, typename T>
inline void PackWeights(Block block, const T* kernel, int64_t channels,
                        float* to) {
  for (int n = 0; n < Block::kVectors; ++n) {
    Store(block.Read(kernel + block.begin, n), to + n * kWidth);
  }
}

// Batch normalisation without affine, one block of positions at a time.
//
// Included once per instruction set, hence without a guard: see targets.cc.

template <typename T>
inline Range PositionsOf(const Normalize<T>& d, int64_t index) {
  const int64_t block = index % d.blocks;
  return {block * d.positions / d.blocks,
          (block + 1) * d.positions / d.blocks};
}

// Sums term(position, n) over positions, four at a time: additions overlap.
template <int N, typename Term>
inline void SumPositions(int64_t count, Term term, Vector (&total)[N]) {
  Vector sums[4][N] = {};
  int64_t p = 0;
  for (; p + 4 <= count; p += 4) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sums[k][n] += term(p + k, n);
    }
  }
  for (; p < count; ++p) {
    for (int n = 0; n < N; ++n) sums[0][n] += term(p, n);
  }
  for (int n = 0; n < N; ++n) {
    total[n] = (sums[0][n] + sums[1][n]) + (sums[2][n] + sums[3][n]);
  }
}

// The mean of read(position, n), and the sum of squared distances from it: two
// passes over what the cache holds, so that a large mean costs no precision.
template <int N, typename Read>
inline void MomentsOf(int64_t count, Read read, Vector (&mean)[N],
                      Vector (&squares)[N]) {
  SumPositions<N>(count, read, mean);
  for (int n = 0; n < N; ++n) mean[n] /= Broadcast(count);
  SumPositions<N>(
      count,
      [&](int64_t p, int n) {
        Vector distance = read(p, n) - mean[n];
        return distance * distance;
      },
      squares);
}

template <typename T>
void Moments(const Normalize<T>& d, int64_t index) {
  const Range range = PositionsOf(d, index);
  const int64_t first = index / d.blocks * d.positions + range.begin;
  float* partial = d.partial + index * 2 * d.channels;
  ForEachBlock(d.channels, [&](auto block) {
    constexpr int N = decltype(block)::kVectors;
    const T* x = d.t + first * d.channels + block.begin;
    Vector mean[N], squares[N];
    MomentsOf<N>(
        range.size(),
        [&](int64_t p, int n) { return block.Read(x + p * d.channels, n); },
        mean, squares);
    for (int n = 0; n < N; ++n) {
      block.Write(mean[n], partial + block.begin, n);
      block.Write(squares[n], partial + d.channels + block.begin, n);
    }
  });
}

// The sums of t and of t * y over a block.
template <typename T>
void Products(const Normalize<T>& d, int64_t index) {
  const Range range = PositionsOf(d, index);
  const int64_t first = index / d.blocks * d.positions + range.begin;
  float* partial = d.partial + index * 2 * d.channels;
  ForEachBlock(d.channels, [&](auto block) {
    using Block = decltype(block);
    constexpr int N = Block::kVectors;
    const T* t = d.t + first * d.channels + block.begin;
    const T* y = d.y + first * d.channels + block.begin;
    Vector sums[N], products[N];
    SumPositions<N>(
        range.size(),
        [&](int64_t p, int n) { return block.Read(t + p * d.channels, n); },
        sums);
    SumPositions<N>(
        range.size(),
        [&](int64_t p, int n) {
          return block.Read(t + p * d.channels, n) *
                 block.Read(y + p * d.channels, n);
        },
        products);
    for (int n = 0; n < N; ++n) {
      block.Write(sums[n], partial + block.begin, n);
      block.Write(products[n], partial + d.channels + block.begin, n);
    }
  });
}

template <typename Block>
inline Vector InverseDeviation(Block block, const float* var, float eps,
                               int n) {
  Vector v = block.Read(var, n) + Broadcast(eps);
  for (int i = 0; i < kWidth; ++i) v[i] = 1.0f / std::sqrt(v[i]);
  return v;
}

// (t - mean) / sqrt(var + eps).
template <typename T>
void Standardize(const Normalize<T>& d, int64_t index) {
  const Range range = PositionsOf(d, index);
  const int64_t stack = index / d.blocks;
  const int64_t first = stack * d.positions + range.begin;
  ForEachBlock(d.channels, [&](auto block) {
    using Block = decltype(block);
    constexpr int N = Block::kVectors;
    const int64_t offset = first * d.channels + block.begin;
    const int64_t channel = stack * d.channels + block.begin;
    Vector scale[N], mean[N];
    for (int n = 0; n < N; ++n) {
      scale[n] = InverseDeviation(block, d.var + channel, d.eps, n);
      mean[n] = block.Read(d.mean + channel, n);
    }
    for (int64_t p = 0; p < range.size(); ++p) {
      const int64_t at = offset + p * d.channels;
      for (int n = 0; n < N; ++n) {
        Vector centred = block.Read(d.t + at, n) - mean[n];
        block.Write(centred * scale[n], d.out + at, n);
      }
    }
  });
}

// (t - mean(t) - y * mean(t * y)) / sqrt(var + eps).
template <typename T>
void Project(const Normalize<T>& d, int64_t index) {
  const Range range = PositionsOf(d, index);
  const int64_t stack = index / d.blocks;
  const int64_t first = stack * d.positions + range.begin;
  ForEachBlock(d.channels, [&](auto block) {
    using Block = decltype(block);
    constexpr int N = Block::kVectors;
    const int64_t offset = first * d.channels + block.begin;
    const int64_t channel = stack * d.channels + block.begin;
    Vector scale[N], mean[N], second[N];
    for (int n = 0; n < N; ++n) {
      scale[n] = InverseDeviation(block, d.var + channel, d.eps, n);
      mean[n] = block.Read(d.mean + channel, n);
      second[n] = block.Read(d.second + channel, n);
    }
    for (int64_t p = 0; p < range.size(); ++p) {
      const int64_t at = offset + p * d.channels;
      for (int n = 0; n < N; ++n) {
        Vector rest = block.Read(d.t + at, n) - mean[n] -
                      block.Read(d.y + at, n) * second[n];
        block.Write(rest * scale[n], d.out + at, n);
      }
    }
  });
}

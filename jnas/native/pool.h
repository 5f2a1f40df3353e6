// 3x3 pooling with one cell of padding that never counts, one row at a time.
//
// Cell 3 * i + j of the window of output (h, w) is pixel (h * stride + i - 1,
// w * stride + j - 1). Gradients are gathered: each pixel of the input looks
// at the windows that cover it, in a fixed order, and is written once.
//
// Included once per instruction set, hence without a guard: see targets.cc.

// The taps of one axis that lie inside, and what each of them reads.
struct Reach {
  int count = 0;
  int tap[3];
  int64_t place[3];
};

// The real cells of the window of an output place.
inline Reach WindowOf(int64_t out, int64_t stride, int64_t size) {
  Reach reach;
  for (int tap = 0; tap < 3; ++tap) {
    const int64_t place = out * stride + tap - 1;
    if (place < 0 || place >= size) continue;
    reach.tap[reach.count] = tap;
    reach.place[reach.count++] = place;
  }
  return reach;
}

// The outputs whose window covers an input place.
inline Reach WindowsOver(int64_t in, int64_t stride, int64_t out_size) {
  Reach reach;
  for (int tap = 0; tap < 3; ++tap) {
    const int64_t scaled = in + 1 - tap;
    if (scaled < 0 || scaled % stride != 0 || scaled / stride >= out_size) {
      continue;
    }
    reach.tap[reach.count] = tap;
    reach.place[reach.count++] = scaled / stride;
  }
  return reach;
}

template <typename T>
void PoolMax(const Pool<T>& p, int64_t index) {
  const int64_t image = index / p.out_height;
  const T* x = p.x + image * p.height * p.width * p.channels;
  const int64_t row = index * p.out_width * p.channels;
  const Reach rows = WindowOf(index % p.out_height, p.stride, p.height);
  for (int64_t q = 0; q < p.out_width; ++q) {
    const Reach columns = WindowOf(q, p.stride, p.width);
    ForEachBlock(p.channels, [&](auto block) {
      using Block = decltype(block);
      const int64_t to = row + q * p.channels + block.begin;
      for (int n = 0; n < Block::kVectors; ++n) {
        Vector best = {};
        VectorI32 winner = {};
        for (int i = 0; i < rows.count; ++i) {
          for (int j = 0; j < columns.count; ++j) {
            const int64_t pixel = rows.place[i] * p.width + columns.place[j];
            Vector v = block.Read(x + pixel * p.channels + block.begin, n);
            VectorI32 cell = VectorI32{} + (3 * rows.tap[i] + columns.tap[j]);
            VectorI32 better = (v > best) | (v != v);
            if (i == 0 && j == 0) better = ~VectorI32{};
            best = better ? v : best;
            winner = better ? cell : winner;
          }
        }
        block.Write(best, p.y + to, n);
        block.Write(winner, p.winner + to, n);
      }
    });
  }
}

template <typename T>
void PoolTake(const Pool<T>& p, int64_t index) {
  const int64_t image = index / p.out_height;
  const T* x = p.x + image * p.height * p.width * p.channels;
  const int64_t row = index * p.out_width * p.channels;
  const Reach rows = WindowOf(index % p.out_height, p.stride, p.height);
  for (int64_t q = 0; q < p.out_width; ++q) {
    const Reach columns = WindowOf(q, p.stride, p.width);
    ForEachBlock(p.channels, [&](auto block) {
      using Block = decltype(block);
      const int64_t to = row + q * p.channels + block.begin;
      for (int n = 0; n < Block::kVectors; ++n) {
        VectorI32 winner = block.Read(p.winner + to, n);
        Vector taken = {};
        for (int i = 0; i < rows.count; ++i) {
          for (int j = 0; j < columns.count; ++j) {
            const int64_t pixel = rows.place[i] * p.width + columns.place[j];
            Vector v = block.Read(x + pixel * p.channels + block.begin, n);
            taken = winner == 3 * rows.tap[i] + columns.tap[j] ? v : taken;
          }
        }
        block.Write(taken, p.y + to, n);
      }
    });
  }
}

template <typename T>
void PoolPut(const Pool<T>& p, int64_t index) {
  const int64_t image = index / p.height;
  const int64_t base = image * p.out_height * p.out_width * p.channels;
  T* x = p.x + index * p.width * p.channels;
  const Reach rows = WindowsOver(index % p.height, p.stride, p.out_height);
  for (int64_t q = 0; q < p.width; ++q) {
    const Reach columns = WindowsOver(q, p.stride, p.out_width);
    ForEachBlock(p.channels, [&](auto block) {
      using Block = decltype(block);
      for (int n = 0; n < Block::kVectors; ++n) {
        Vector sum = {};
        for (int i = 0; i < rows.count; ++i) {
          for (int j = 0; j < columns.count; ++j) {
            const int64_t from =
                base + (rows.place[i] * p.out_width + columns.place[j]) *
                           p.channels + block.begin;
            VectorI32 winner = block.Read(p.winner + from, n);
            Vector g = block.Read(p.y + from, n);
            sum += winner == 3 * rows.tap[i] + columns.tap[j] ? g : Vector{};
          }
        }
        block.Write(sum, x + q * p.channels + block.begin, n);
      }
    });
  }
}

template <typename T>
void PoolMean(const Pool<T>& p, int64_t index) {
  const int64_t image = index / p.out_height;
  const T* x = p.x + image * p.height * p.width * p.channels;
  T* y = p.y + index * p.out_width * p.channels;
  const Reach rows = WindowOf(index % p.out_height, p.stride, p.height);
  for (int64_t q = 0; q < p.out_width; ++q) {
    const Reach columns = WindowOf(q, p.stride, p.width);
    const Vector cells = Broadcast(rows.count * columns.count);
    ForEachBlock(p.channels, [&](auto block) {
      using Block = decltype(block);
      for (int n = 0; n < Block::kVectors; ++n) {
        Vector sum = {};
        for (int i = 0; i < rows.count; ++i) {
          for (int j = 0; j < columns.count; ++j) {
            const int64_t pixel = rows.place[i] * p.width + columns.place[j];
            sum += block.Read(x + pixel * p.channels + block.begin, n);
          }
        }
        block.Write(sum / cells, y + q * p.channels + block.begin, n);
      }
    });
  }
}

template <typename T>
void PoolSpread(const Pool<T>& p, int64_t index) {
  const int64_t image = index / p.height;
  const T* y = p.y + image * p.out_height * p.out_width * p.channels;
  T* x = p.x + index * p.width * p.channels;
  const Reach rows = WindowsOver(index % p.height, p.stride, p.out_height);
  for (int64_t q = 0; q < p.width; ++q) {
    const Reach columns = WindowsOver(q, p.stride, p.out_width);
    Vector shares[3][3];
    for (int i = 0; i < rows.count; ++i) {
      for (int j = 0; j < columns.count; ++j) {
        shares[i][j] = Broadcast(
            1.0f / (WindowOf(rows.place[i], p.stride, p.height).count *
                    WindowOf(columns.place[j], p.stride, p.width).count));
      }
    }
    ForEachBlock(p.channels, [&](auto block) {
      using Block = decltype(block);
      for (int n = 0; n < Block::kVectors; ++n) {
        Vector sum = {};
        for (int i = 0; i < rows.count; ++i) {
          for (int j = 0; j < columns.count; ++j) {
            const int64_t pixel =
                rows.place[i] * p.out_width + columns.place[j];
            sum += block.Read(y + pixel * p.channels + block.begin, n) *
                   shares[i][j];
          }
        }
        block.Write(sum, x + q * p.channels + block.begin, n);
      }
    });
  }
}

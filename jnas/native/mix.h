// Weighted sums of stacks, and their derivatives, one piece of an image at a
// time: numbers of an image are all alike here, whatever its shape.
//
// Included once per instruction set, hence without a guard: see targets.cc.

struct MixPiece {
  int64_t image, begin, count;
};

template <typename T>
inline MixPiece PieceOf(const Mixture<T>& m, int64_t index) {
  const int64_t piece = index % m.pieces;
  const int64_t blocks = (m.size + kChannelBlock - 1) / kChannelBlock;
  const int64_t begin = piece * blocks / m.pieces * kChannelBlock;
  const int64_t end = (piece + 1) * blocks / m.pieces * kChannelBlock;
  return {index / m.pieces, begin, std::min(end, m.size) - begin};
}

template <typename T>
inline float WeightOf(const Mixture<T>& m, int64_t term, int64_t target,
                      int64_t image) {
  const int64_t group = image / (m.batch / m.groups);
  return m.weights[(term * m.targets + target) * m.groups + group];
}

// Where an image of a term lies.
template <typename T>
inline T* TermOf(const Mixture<T>& m, int64_t term, int64_t target,
                 int64_t image) {
  const int64_t stack = m.is_stacked[term] ? target : 0;
  return m.terms[term] + (stack * m.batch + image) * m.size;
}

// Totals from terms.
template <typename T>
void Mix(const Mixture<T>& m, int64_t index) {
  const MixPiece piece = PieceOf(m, index);
  const int64_t start = piece.image * m.size + piece.begin;
  for (int64_t target = 0; target < m.targets; ++target) {
    const T* from = m.added.empty() ? nullptr : m.added[target] + start;
    T* to = m.totals[target] + start;
    ForEachBlock(piece.count, [&](auto block) {
      for (int n = 0; n < decltype(block)::kVectors; ++n) {
        Vector sum = {};
        if (from != nullptr) sum = block.Read(from + block.begin, n);
        for (size_t term = 0; term < m.terms.size(); ++term) {
          const T* y = TermOf(m, term, target, piece.image) + piece.begin;
          sum += Broadcast(WeightOf(m, term, target, piece.image)) *
                 block.Read(y + block.begin, n);
        }
        block.Write(sum, to + block.begin, n);
      }
    });
  }
}

// Terms from totals: the transpose.
template <typename T>
void MixSpread(const Mixture<T>& m, int64_t index) {
  const MixPiece piece = PieceOf(m, index);
  const int64_t start = piece.image * m.size + piece.begin;
  for (size_t term = 0; term < m.terms.size(); ++term) {
    const int64_t stacks = m.is_stacked[term] ? m.targets : 1;
    for (int64_t stack = 0; stack < stacks; ++stack) {
      const int64_t last = m.is_stacked[term] ? stack + 1 : m.targets;
      T* to = TermOf(m, term, stack, piece.image) + piece.begin;
      ForEachBlock(piece.count, [&](auto block) {
        for (int n = 0; n < decltype(block)::kVectors; ++n) {
          Vector sum = {};
          for (int64_t target = stack; target < last; ++target) {
            sum += Broadcast(WeightOf(m, term, target, piece.image)) *
                   block.Read(m.totals[target] + start + block.begin, n);
          }
          block.Write(sum, to + block.begin, n);
        }
      });
    }
  }
}

// The inner products of terms and totals, of whole images.
template <typename T>
void MixInner(const Mixture<T>& m, int64_t image) {
  for (size_t term = 0; term < m.terms.size(); ++term) {
    for (int64_t target = 0; target < m.targets; ++target) {
      const T* y = TermOf(m, term, target, image);
      const T* g = m.totals[target] + image * m.size;
      Vector sums[4] = {};
      int next = 0;
      ForEachBlock(m.size, [&](auto block) {
        for (int n = 0; n < decltype(block)::kVectors; ++n) {
          sums[next] += block.Read(y + block.begin, n) *
                        block.Read(g + block.begin, n);
          next = (next + 1) % 4;
        }
      });
      const Vector lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      float sum = 0;
      for (int i = 0; i < kWidth; ++i) sum += lanes[i];
      m.partial[(image * m.terms.size() + term) * m.targets + target] = sum;
    }
  }
}

// The memory in which the kernels keep what they need for a block of work.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.h"

namespace jnas {
namespace {

// The memory that `Scratch` hands out. When a block of work needed several
// chunks, one as large as all of them replaces them at its end.
class Arena {
 public:
  void* Take(size_t size) {
    size = (size + kAlignment - 1) / kAlignment * kAlignment;
    if (chunks_.empty() || used_ + size > chunks_.back().size) {
      chunks_.emplace_back(std::max(size, kSmallestChunk));
      used_ = 0;
    }
    used_ += size;
    return chunks_.back().begin() + used_ - size;
  }

  void Release() {
    used_ = 0;
    if (chunks_.size() < 2) return;
    size_t total = 0;
    for (const Chunk& chunk : chunks_) total += chunk.size;
    chunks_.clear();
    chunks_.emplace_back(total);
  }

 private:
  static constexpr size_t kAlignment = 64;
  static constexpr size_t kSmallestChunk = 64 * 1024;

  struct Chunk {
    explicit Chunk(size_t size)
        : size(size), memory(new char[size + kAlignment]) {}
    char* begin() const {
      const auto address = reinterpret_cast<uintptr_t>(memory.get());
      return memory.get() + (kAlignment - address % kAlignment);
    }
    size_t size;
    std::unique_ptr<char[]> memory;
  };
  std::vector<Chunk> chunks_;
  size_t used_ = 0;
};

thread_local Arena arena;

}  // namespace

Scratch::Scratch() = default;
Scratch::~Scratch() { arena.Release(); }
void* Scratch::TakeBytes(size_t size) { return arena.Take(size); }

}  // namespace jnas

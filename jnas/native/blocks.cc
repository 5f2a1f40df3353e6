// The handlers that move blocks of a matrix to and from arrays of their own.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "arguments.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace jnas {
namespace {

using Places = ffi::Span<const int64_t>;

// Where an array lies in the matrix.
struct Block {
  int64_t row, column, rows, columns;
};

// Checks that each block lies in the matrix, and that its array has its size.
ffi::Error Describe(const ffi::AnyBuffer& matrix,
                    const std::vector<ffi::AnyBuffer>& arrays,
                    const Places& places, std::vector<Block>* blocks) {
  JNAS_RETURN_IF_ERROR(CheckRank("the matrix", matrix, 2));
  if (places.size() != 4 * arrays.size()) {
    return ffi::Error::InvalidArgument(
        "jnas: " + std::to_string(places.size()) + " numbers for " +
        std::to_string(arrays.size()) + " blocks; expected four for each");
  }
  const Shape size = ShapeOf(matrix);
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Block b = {places[4 * i], places[4 * i + 1], places[4 * i + 2],
                     places[4 * i + 3]};
    JNAS_RETURN_IF_ERROR(
        CheckType("a block", arrays[i], matrix.element_type()));
    const bool is_inside = std::min({b.row, b.column, b.rows, b.columns}) >= 0 &&
                           b.row + b.rows <= size[0] &&
                           b.column + b.columns <= size[1];
    if (!is_inside || static_cast<int64_t>(arrays[i].element_count()) !=
                          b.rows * b.columns) {
      return ffi::Error::InvalidArgument(
          "jnas: block " +
          Print({b.row, b.column, b.rows, b.columns}) + " for an array " +
          Print(ShapeOf(arrays[i])) + " and a matrix " + Print(size));
    }
    blocks->push_back(b);
  }
  return ffi::Error::Success();
}

// Calls copy(place in the matrix, place in the array, bytes) for each row of
// each block.
template <typename Copy>
void ForEachRow(ffi::ThreadPool& pool, const ffi::AnyBuffer& matrix,
                const std::vector<ffi::AnyBuffer>& arrays,
                const std::vector<Block>& blocks, Copy copy) {
  const int64_t width = matrix.dimensions()[1];
  const int64_t item = ffi::ByteWidth(matrix.element_type());
  ParallelFor(pool, blocks.size(), matrix.element_count(), [&](int64_t i) {
    const Block& b = blocks[i];
    char* inside = Data<char>(matrix) + (b.row * width + b.column) * item;
    char* alone = Data<char>(arrays[i]);
    for (int64_t r = 0; r < b.rows; ++r) {
      copy(inside + r * width * item, alone + r * b.columns * item,
           b.columns * item);
    }
  });
}

ffi::Error AssembleHandler(ffi::ThreadPool pool, Rest arrays, Out matrix,
                           Places places) {
  std::vector<ffi::AnyBuffer> buffers;
  for (size_t i = 0; i < arrays.size(); ++i) {
    buffers.push_back(*arrays.get<ffi::AnyBuffer>(i));
  }
  std::vector<Block> blocks;
  JNAS_RETURN_IF_ERROR(Describe(*matrix, buffers, places, &blocks));
  int64_t covered = 0;
  for (const Block& b : blocks) covered += b.rows * b.columns;
  if (covered < static_cast<int64_t>(matrix->element_count())) {
    std::memset(matrix->untyped_data(), 0, matrix->size_bytes());
  }
  ForEachRow(pool, *matrix, buffers, blocks,
             [](char* inside, const char* alone, int64_t bytes) {
               std::memcpy(inside, alone, bytes);
             });
  return ffi::Error::Success();
}

ffi::Error CutHandler(ffi::ThreadPool pool, In matrix,
                      ffi::RemainingRets arrays, Places places) {
  std::vector<ffi::AnyBuffer> buffers;
  for (size_t i = 0; i < arrays.size(); ++i) {
    buffers.push_back(**arrays.get<ffi::AnyBuffer>(i));
  }
  std::vector<Block> blocks;
  JNAS_RETURN_IF_ERROR(Describe(matrix, buffers, places, &blocks));
  ForEachRow(pool, matrix, buffers, blocks,
             [](const char* inside, char* alone, int64_t bytes) {
               std::memcpy(alone, inside, bytes);
             });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jnas

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_assemble, jnas::AssembleHandler,
    JNAS_BIND(JNAS_REST JNAS_RET.Attr<xla::ffi::Span<const int64_t>>(
        "places")));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jnas_cut, jnas::CutHandler,
    JNAS_BIND(JNAS_ARG JNAS_RETS.Attr<xla::ffi::Span<const int64_t>>(
        "places")));

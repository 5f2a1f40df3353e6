// The kernels of one block of work each, compiled once per instruction set.
//
// An argument structure describes a whole operation; a kernel does the block
// numbered `index` of it. Blocks are the same whatever the threads, and write
// to disjoint places: results do not depend on timing.

#ifndef JNAS_NATIVE_KERNELS_H_
#define JNAS_NATIVE_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace jnas {

// The bits of a bfloat16, a type that C++17 has not got.
struct bfloat16 {
  uint16_t bits;
};

// x [S, B, H, W, C], kernel [T, k, k, C], y [T, B, OH, OW, C]. Target t
// reads source t / (T / S). Padding centres the taps.
struct DepthwiseShape {
  int64_t sources, targets, batch, height, width, channels;
  int64_t out_height, out_width, taps, stride, dilation;
  int64_t bands, band_rows;  // the division of an image's rows into blocks
  int64_t image_blocks;      // KernelGradient: of a source's images

  int64_t padding() const { return dilation * (taps / 2); }
  int64_t places() const {
    return targets * batch * out_height * out_width * channels;
  }
  // Multiplications, as for the other shapes: see ParallelFor.
  int64_t work() const { return places() * taps * taps; }
};

// Where `gate`, if there is one, is 0 or less, x counts as 0 and the gradient
// of x is 0. With x its own gate that is a ReLU before the convolution.
template <typename T>
struct Depthwise : DepthwiseShape {
  T* x;  // read by Convolve and KernelGradient, written by InputGradient
  T* y;  // written by Convolve, read by the other two
  const T* kernel;
  const T* gate;   // like x
  float* partial;  // [image_blocks, T, k, k, C], KernelGradient only
};

// x [S, B, H, W, C], kernel [T, h, w, C, D], y [T, B, OH, OW, D].
struct DenseShape {
  int64_t sources, targets, batch, height, width, channels, features;
  int64_t out_height, out_width, tap_rows, tap_columns;
  int64_t row_stride, column_stride, dilation;
  int64_t image_blocks;  // DenseKernelGradient: of a source's images

  int64_t row_padding() const { return dilation * (tap_rows / 2); }
  int64_t column_padding() const { return dilation * (tap_columns / 2); }
  int64_t work() const {
    return targets * batch * out_height * out_width * tap_rows * tap_columns *
           channels * features;
  }
};

template <typename T>
struct Dense : DenseShape {
  T* x;  // read by DenseConvolve and DenseKernelGradient, else written
  T* y;  // written by DenseConvolve, read by the other two
  const T* kernel;
  float* partial;  // [image_blocks, T, h, w, C, D], DenseKernelGradient only
};

// A depthwise convolution behind a ReLU, a 1x1 convolution and a batch norm,
// on whole images: x [S, B, H, W, C], matrix [T, C, D], y [T, B, OH, OW, D].
template <typename T>
struct Separable : DepthwiseShape {
  int64_t features;
  const T* x;
  const T* kernel;
  const T* matrix;
  T* y;
  float* moments;  // of each image, [T, B, 2, D]: forwards only
  const T* g;      // this and what follows: backwards only
  T* dx;
  float* dkernel;  // [image_blocks, T, k, k, C], none if not wanted
  float* dmatrix;  // [image_blocks, T, C, D], likewise
  const T* transposed;               // [T, D, C]
  const float *mean, *second, *var;  // [T, D]: of g, of g * y, of the norm
  float eps;

  int64_t work() const { return places() * (taps * taps + features); }
};

// 3x3 windows, one cell of padding: x [B, H, W, C], y [B, OH, OW, C].
struct PoolShape {
  int64_t batch, height, width, channels, out_height, out_width, stride;

  int64_t work() const {
    return 9 * batch * out_height * out_width * channels;
  }
};

template <typename T>
struct Pool : PoolShape {
  T* x;
  T* y;
  uint8_t* winner;  // like y: the cell, 0 to 8, that is the maximum
};

// t, y and out [S, P, C].
struct NormalizeShape {
  int64_t stacked, positions, channels;
  int64_t blocks;  // of a stacked image's positions

  // What is read once or twice costs more than a multiplication.
  int64_t work() const { return 8 * stacked * positions * channels; }
};

template <typename T>
struct Normalize : NormalizeShape {
  const T* t;
  const T* y;
  T* out;
  float* partial;                    // [S, blocks, 2, C]
  const float *mean, *second, *var;  // [S, C]; second: mean of t * y
  float eps;
};

// Weighted sums of N stacks: total t is the sum over n of weights[n, t, group]
// times term n at t, and what is added to it. Group g has the g-th part of the
// images. A term that is not stacked, of shape [1, B, ...], is read by all
// targets.
template <typename T>
struct Mixture {
  using Image = T;
  int64_t targets, groups, batch, size;  // size: numbers of an image
  int64_t pieces;                        // of an image
  const float* weights;                  // [N, T, G]
  std::vector<T*> terms;                 // [T or 1, B, size]
  std::vector<bool> is_stacked;          // the terms
  std::vector<T*> totals;                // T of [B, size]
  std::vector<const T*> added;           // like the totals, or none
  float* partial;                        // [B, N, T], of MixInner

  int64_t work() const { return 4 * terms.size() * targets * batch * size; }
};

template <typename T>
struct Kernels {
  // Blocks: source, image, block of channels, band.
  void (*convolve)(const Depthwise<T>&, int64_t index);
  void (*input_gradient)(const Depthwise<T>&, int64_t index);
  // Blocks: source, block of images.
  void (*kernel_gradient)(const Depthwise<T>&, int64_t index);
  // Blocks: source, image.
  void (*dense_convolve)(const Dense<T>&, int64_t index);
  void (*dense_input_gradient)(const Dense<T>&, int64_t index);
  // Blocks: source, block of images.
  void (*dense_kernel_gradient)(const Dense<T>&, int64_t index);
  // Blocks: source, image.
  void (*separate)(const Separable<T>&, int64_t index);
  // Blocks: source, block of images.
  void (*separate_back)(const Separable<T>&, int64_t index);
  // Blocks: image, row of what is written.
  void (*pool_max)(const Pool<T>&, int64_t index);
  void (*pool_take)(const Pool<T>&, int64_t index);
  void (*pool_put)(const Pool<T>&, int64_t index);
  void (*pool_mean)(const Pool<T>&, int64_t index);
  void (*pool_spread)(const Pool<T>&, int64_t index);
  // Blocks: stacked, block of positions.
  void (*moments)(const Normalize<T>&, int64_t index);
  void (*products)(const Normalize<T>&, int64_t index);
  void (*standardize)(const Normalize<T>&, int64_t index);
  void (*project)(const Normalize<T>&, int64_t index);
  // Blocks: image, piece of it.
  void (*mix)(const Mixture<T>&, int64_t index);
  void (*mix_spread)(const Mixture<T>&, int64_t index);
  // Blocks: image.
  void (*mix_inner)(const Mixture<T>&, int64_t index);
};

// The fastest kernels that this processor can run on so many neighbours,
// channels or pixels of a row, and the name of the widest.
template <typename T>
const Kernels<T>& KernelsOf(int64_t count);
const char* TargetName();

// Channels are worked on in blocks of at most this many.
inline constexpr int64_t kChannelBlock = 16;

// Memory of the calling thread, kept from block to block and call to call.
// One at a time in a thread.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Returns uninitialised memory, aligned to 64 bytes, that lives as long as
  // this object.
  template <typename T>
  T* Take(int64_t count) {
    return static_cast<T*>(TakeBytes(count * sizeof(T)));
  }

 private:
  void* TakeBytes(size_t size);
};

}  // namespace jnas

#endif  // JNAS_NATIVE_KERNELS_H_

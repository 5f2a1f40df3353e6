// Dense convolution of few channels and its two gradients, an image at a time.
//
// Vectors run along the rows of planes, not across channels, of which there are
// fewer than lanes: see planes.h.
//
// Included once per instruction set, hence without a guard: see targets.cc.

// What is computed at once: features, and taps of the kernel's gradient.
inline constexpr int kFeatures = 4;
inline constexpr int kTapGroup = kWidth == 16 ? 4 : 2;

// P vectors of kFeatures planes: a sum over taps, those of all channels.
template <int P>
inline void SumTaps(const float* const (&in)[P], const Taps& taps,
                    float* const (&out)[P], int64_t out_plane, bool add) {
  Vector sums[P][kFeatures];
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int n = 0; n < kFeatures; ++n) {
      sums[p][n] = add ? Load(out[p] + n * out_plane) : Vector{};
    }
  }
  const float* weights = taps.weights;
  for (int64_t t = 0; t < taps.count; ++t, weights += kFeatures) {
    Vector x[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) x[p] = Load(in[p] + taps.offsets[t]);
#pragma GCC unroll 4
    for (int n = 0; n < kFeatures; ++n) {
      const Vector w = Broadcast(weights[n]);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) sums[p][n] += x[p] * w;
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int n = 0; n < kFeatures; ++n) {
      Store(sums[p][n], out[p] + n * out_plane);
    }
  }
}

// kFeatures planes of `rows` rows of `pitch`, a multiple of kWidth.
inline void SumPlanes(const float* in, int64_t in_row, const Taps& taps,
                      float* out, int64_t rows, int64_t pitch, bool add) {
  const int64_t across = pitch / kWidth, count = rows * across;
  auto from = [&](int64_t i) {
    return in + i / across * in_row + i % across * kWidth;
  };
  const int64_t plane = PlaneSize(rows, pitch);
  int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    SumTaps<2>({from(i), from(i + 1)}, taps,
               {out + i * kWidth, out + (i + 1) * kWidth}, plane, add);
  }
  if (i < count) SumTaps<1>({from(i)}, taps, {out + i * kWidth}, plane, add);
}

// What a convolution of this shape reads.
inline Planes InputPlanes(const DenseShape& d) {
  const int64_t rows = (d.tap_rows - 1) * d.dilation;
  const int64_t columns = (d.tap_columns - 1) * d.dilation;
  Planes planes = {};
  planes.rows = std::max((d.out_height - 1) * d.row_stride + rows + 1,
                         d.height + d.row_padding());
  planes.first_row = -d.row_padding();
  planes.first_column = -d.column_padding();
  planes.phases = d.column_stride;
  // Whole vectors of outputs read so far; the image may reach further.
  planes.length =
      std::max(RoundToWidth(d.out_width) + columns / d.column_stride + 1,
               (d.width + d.column_padding()) / d.column_stride + 1);
  planes.row_spread = planes.column_spread = 1;
  return planes;
}

// The output's gradient as the gradient of the input reads it.
inline Planes GradientPlanes(const DenseShape& d) {
  Planes planes = {};
  planes.rows = d.height + 2 * d.row_padding();
  planes.first_row = -d.row_padding();
  planes.first_column = -d.column_padding();
  planes.phases = 1;
  planes.length = RoundToWidth(d.width) + 2 * d.column_padding();
  planes.row_spread = d.row_stride;
  planes.column_spread = d.column_stride;
  return planes;
}

// The weights of what is made at once, from `first` of `made` planes on: all
// taps of the first plane that is summed over, of the second, and so on. Steps
// are those of planes in the kernel.
template <typename T>
inline void PackTaps(const DenseShape& d, const T* kernel, int64_t summed,
                     int64_t summed_step, int64_t first, int64_t made,
                     int64_t made_step, float* weights) {
  const int64_t tap_step = d.channels * d.features;
  for (int64_t s = 0; s < summed; ++s) {
    for (int64_t t = 0; t < d.tap_rows * d.tap_columns; ++t) {
      const T* from = kernel + t * tap_step + s * summed_step;
      for (int64_t n = first; n < first + kFeatures; ++n) {
        *weights++ = n < made ? ToFloat(from[n * made_step]) : 0;
      }
    }
  }
}

template <typename T>
void DenseConvolve(const Dense<T>& d, int64_t index) {
  const int64_t source = index / d.batch, image = index % d.batch;
  const int64_t multiplier = d.targets / d.sources;
  const int64_t num_taps = d.tap_rows * d.tap_columns;
  const int64_t pitch = RoundToWidth(d.out_width);
  const int64_t plane = PlaneSize(d.out_height, pitch);
  Scratch scratch;
  Planes in = InputPlanes(d);
  in.data = scratch.Take<float>(d.channels * in.size());
  Taps taps = {num_taps * d.channels,
               scratch.Take<int64_t>(num_taps * d.channels),
               scratch.Take<float>(num_taps * d.channels * kFeatures)};
  float* out = scratch.Take<float>((d.features + kFeatures) * plane);
  ReadPlanes(in, d.x + index * d.height * d.width * d.channels, d.height,
             d.width, d.channels);
  for (int64_t c = 0, i = 0; c < d.channels; ++c) {
    for (int64_t t = 0; t < num_taps; ++t, ++i) {
      taps.offsets[i] =
          c * in.size() + in.Place(t / d.tap_columns * d.dilation,
                                   t % d.tap_columns * d.dilation);
    }
  }
  for (int64_t m = 0; m < multiplier; ++m) {
    const int64_t target = source * multiplier + m;
    const T* kernel = d.kernel + target * num_taps * d.channels * d.features;
    for (int64_t f = 0; f < d.features; f += kFeatures) {
      PackTaps(d, kernel, d.channels, d.features, f, d.features, 1,
               taps.weights);
      SumPlanes(in.data, d.row_stride * in.pitch(), taps, out + f * plane,
                d.out_height, pitch, false);
    }
    WritePlanes(out, pitch, d.out_height, d.out_width, d.features,
                d.y + (target * d.batch + image) * d.out_height * d.out_width *
                          d.features);
  }
}

template <typename T>
void DenseInputGradient(const Dense<T>& d, int64_t index) {
  const int64_t source = index / d.batch, image = index % d.batch;
  const int64_t multiplier = d.targets / d.sources;
  const int64_t num_taps = d.tap_rows * d.tap_columns;
  const int64_t pitch = RoundToWidth(d.width);
  const int64_t plane = PlaneSize(d.height, pitch);
  Scratch scratch;
  Planes in = GradientPlanes(d);
  in.data = scratch.Take<float>(d.features * in.size());
  Taps taps = {num_taps * d.features,
               scratch.Take<int64_t>(num_taps * d.features),
               scratch.Take<float>(num_taps * d.features * kFeatures)};
  float* out = scratch.Take<float>((d.channels + kFeatures) * plane);
  for (int64_t f = 0, i = 0; f < d.features; ++f) {
    for (int64_t t = 0; t < num_taps; ++t, ++i) {
      const int64_t row = t / d.tap_columns, column = t % d.tap_columns;
      taps.offsets[i] =
          f * in.size() + in.Place(2 * d.row_padding() - row * d.dilation,
                                   2 * d.column_padding() -
                                       column * d.dilation);
    }
  }
  for (int64_t m = 0; m < multiplier; ++m) {
    const int64_t target = source * multiplier + m;
    const T* kernel = d.kernel + target * num_taps * d.channels * d.features;
    ReadPlanes(in,
               d.y + (target * d.batch + image) * d.out_height * d.out_width *
                         d.features,
               d.out_height, d.out_width, d.features);
    for (int64_t c = 0; c < d.channels; c += kFeatures) {
      PackTaps(d, kernel, d.features, 1, c, d.channels, d.features,
               taps.weights);
      SumPlanes(in.data, in.pitch(), taps, out + c * plane, d.height, pitch,
                m > 0);
    }
  }
  WritePlanes(out, pitch, d.height, d.width, d.channels,
              d.x + index * d.height * d.width * d.channels);
}

// sums[tap, n] += sum over pixels of x[pixel + tap] * g[n, pixel].
template <int G>
inline void AccumulatePlanes(const float* x, int64_t x_row,
                             const int64_t* offsets, const float* g,
                             int64_t rows, int64_t columns, float* sums,
                             int64_t tap_step, int64_t features) {
  const int64_t pitch = RoundToWidth(columns);
  const int64_t plane = PlaneSize(rows, pitch);
  // Beyond a row g is 0, but x may be infinite there.
  int32_t lanes[2 * kWidth];
  for (int i = 0; i < 2 * kWidth; ++i) {
    lanes[i] = i < kWidth || pitch - kWidth + i - kWidth < columns ? -1 : 0;
  }
  Vector acc[G][kFeatures] = {};
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t q = 0; q < pitch; q += kWidth) {
      VectorI32 inside;
      std::memcpy(&inside, lanes + (q + kWidth < pitch ? 0 : kWidth),
                  sizeof(inside));
      Vector v[kFeatures];
#pragma GCC unroll 4
      for (int n = 0; n < kFeatures; ++n) {
        v[n] = Load(g + n * plane + r * pitch + q);
      }
#pragma GCC unroll 4
      for (int t = 0; t < G; ++t) {
        const Vector read = Load(x + r * x_row + q + offsets[t]);
        const Vector taken = (Vector)((VectorI32)read & inside);
#pragma GCC unroll 4
        for (int n = 0; n < kFeatures; ++n) acc[t][n] += taken * v[n];
      }
    }
  }
  for (int t = 0; t < G; ++t) {
    for (int64_t n = 0; n < std::min<int64_t>(kFeatures, features); ++n) {
      float total = 0;
      for (int i = 0; i < kWidth; ++i) total += acc[t][n][i];
      sums[t * tap_step + n] += total;
    }
  }
}

template <typename T>
void DenseKernelGradient(const Dense<T>& d, int64_t index) {
  const int64_t source = index / d.image_blocks;
  const int64_t image_block = index % d.image_blocks;
  const Range images = {image_block * d.batch / d.image_blocks,
                        (image_block + 1) * d.batch / d.image_blocks};
  const int64_t multiplier = d.targets / d.sources;
  const int64_t num_taps = d.tap_rows * d.tap_columns;
  const int64_t pitch = RoundToWidth(d.out_width);
  const int64_t kernel_size = num_taps * d.channels * d.features;
  Scratch scratch;
  Planes in = InputPlanes(d), out = {};
  out.rows = d.out_height;
  out.length = pitch;
  out.phases = out.row_spread = out.column_spread = 1;
  in.data = scratch.Take<float>(d.channels * in.size());
  // Features that are not there count as planes of zeros.
  const int64_t room = (d.features + kFeatures) * out.size();
  out.data = scratch.Take<float>(room);
  std::memset(out.data, 0, room * sizeof(float));
  int64_t* offsets = scratch.Take<int64_t>(num_taps);
  for (int64_t t = 0; t < num_taps; ++t) {
    offsets[t] = in.Place(t / d.tap_columns * d.dilation,
                          t % d.tap_columns * d.dilation);
  }
  float* sums = d.partial +
                (image_block * d.targets + source * multiplier) * kernel_size;
  std::memset(sums, 0, multiplier * kernel_size * sizeof(float));
  const int64_t x_row = d.row_stride * in.pitch();
  const int64_t tap_step = d.channels * d.features;
  for (int64_t i = images.begin; i < images.end; ++i) {
    const int64_t image = source * d.batch + i;
    ReadPlanes(in, d.x + image * d.height * d.width * d.channels, d.height,
               d.width, d.channels);
    for (int64_t m = 0; m < multiplier; ++m) {
      const int64_t target = source * multiplier + m;
      ReadPlanes(out,
                 d.y + (target * d.batch + i) * d.out_height * d.out_width *
                           d.features,
                 d.out_height, d.out_width, d.features);
      for (int64_t f = 0; f < d.features; f += kFeatures) {
        for (int64_t c = 0; c < d.channels; ++c) {
          const float* x = in.data + c * in.size();
          const float* g = out.data + f * out.size();
          float* to = sums + m * kernel_size + c * d.features + f;
          int64_t t = 0;
          for (; t + kTapGroup <= num_taps; t += kTapGroup) {
            AccumulatePlanes<kTapGroup>(x, x_row, offsets + t, g,
                                        d.out_height, d.out_width,
                                        to + t * tap_step, tap_step,
                                        d.features - f);
          }
          for (; t < num_taps; ++t) {
            AccumulatePlanes<1>(x, x_row, offsets + t, g, d.out_height,
                                d.out_width, to + t * tap_step, tap_step,
                                d.features - f);
          }
        }
      }
    }
  }
}

// Images whose channels are brought apart, and back together.
//
// Included once per instruction set, hence without a guard: see targets.cc.

inline int64_t RoundToWidth(int64_t count) {
  return (count + kWidth - 1) / kWidth * kWidth;
}

// The distance of planes: not a power of two, which would bring the same pixel
// of all of them into one set of the cache.
inline int64_t PlaneSize(int64_t rows, int64_t pitch) {
  return rows * pitch + kWidth;
}

inline float ToFloat(float value) { return value; }

inline float ToFloat(bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof(wide));
  return wide;
}

// Planes of one channel each, zeros around the image and between its pixels.
// Columns that are a stride apart are neighbours: column u of a row is at place
// u / phases of the part u % phases.
struct Planes {
  int64_t rows, first_row, first_column, phases, length;
  int64_t row_spread, column_spread;  // distance of the image's pixels
  float* data;

  int64_t pitch() const { return phases * length; }
  int64_t size() const { return PlaneSize(rows, pitch()); }
  int64_t Place(int64_t row, int64_t column) const {
    return row * pitch() + column % phases * length + column / phases;
  }
};

// Brings the channels of an image apart; kChannels is 0 where it is any.
template <int kChannels, typename T>
inline void SplitChannels(const Planes& planes, const T* image, int64_t height,
                          int64_t width, int64_t any_channels) {
  const int64_t channels = kChannels > 0 ? kChannels : any_channels;
  const bool is_dense = planes.phases == 1 && planes.column_spread == 1;
  std::memset(planes.data, 0, channels * planes.size() * sizeof(float));
  for (int64_t h = 0; h < height; ++h) {
    const T* __restrict from = image + h * width * channels;
    float* __restrict to =
        planes.data + (h * planes.row_spread - planes.first_row) *
                          planes.pitch();
    if (is_dense) {
      to -= planes.first_column;
      for (int64_t w = 0; w < width; ++w) {
        for (int64_t c = 0; c < channels; ++c) {
          to[c * planes.size() + w] = ToFloat(from[w * channels + c]);
        }
      }
      continue;
    }
    for (int64_t w = 0; w < width; ++w) {
      const int64_t place = planes.Place(
          0, w * planes.column_spread - planes.first_column);
      for (int64_t c = 0; c < channels; ++c) {
        to[c * planes.size() + place] = ToFloat(from[w * channels + c]);
      }
    }
  }
}

template <typename T>
inline void ReadPlanes(const Planes& planes, const T* image, int64_t height,
                       int64_t width, int64_t channels) {
  auto split = channels == 4    ? SplitChannels<4, T>
               : channels == 8  ? SplitChannels<8, T>
               : channels == 16 ? SplitChannels<16, T>
                                : SplitChannels<0, T>;
  split(planes, image, height, width, channels);
}

// The way back: planes of whole vectors, as SumPlanes in dense.h writes them.
template <int kChannels, typename T>
inline void JoinChannels(const float* planes, int64_t pitch, int64_t height,
                         int64_t width, int64_t any_channels, T* image) {
  const int64_t channels = kChannels > 0 ? kChannels : any_channels;
  const int64_t plane = PlaneSize(height, pitch);
  for (int64_t h = 0; h < height; ++h) {
    const float* __restrict from = planes + h * pitch;
    T* __restrict to = image + h * width * channels;
    if constexpr (std::is_same_v<T, float>) {
      for (int64_t w = 0; w < width; ++w) {
        for (int64_t c = 0; c < channels; ++c) {
          to[w * channels + c] = from[c * plane + w];
        }
      }
    } else {
      for (int64_t w = 0; w < width; w += kWidth) {
        for (int64_t c = 0; c < channels; ++c) {
          T lanes[kWidth];
          Store(Load(from + c * plane + w), lanes);
          for (int64_t i = 0; i < kWidth && w + i < width; ++i) {
            to[(w + i) * channels + c] = lanes[i];
          }
        }
      }
    }
  }
}

template <typename T>
inline void WritePlanes(const float* planes, int64_t pitch, int64_t height,
                        int64_t width, int64_t channels, T* image) {
  auto join = channels == 4    ? JoinChannels<4, T>
              : channels == 8  ? JoinChannels<8, T>
              : channels == 16 ? JoinChannels<16, T>
                               : JoinChannels<0, T>;
  join(planes, pitch, height, width, channels, image);
}

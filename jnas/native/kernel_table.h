// All kernels of one instruction set. Included once for each, in a namespace
// of its own and with JNAS_WIDTH floats to a vector: see targets.cc.

#include "vectors.h"
#include "tile.h"
#include "taps.h"
#include "depthwise.h"
#include "planes.h"
#include "dense.h"
#include "pool.h"
#include "normalize.h"
#include "separable.h"
#include "mix.h"

template <typename T>
inline constexpr Kernels<T> kTable = {
    Convolve<T>,
    InputGradient<T>,
    KernelGradient<T>,
    DenseConvolve<T>,
    DenseInputGradient<T>,
    DenseKernelGradient<T>,
    Separate<T>,
    SeparateBack<T>,
    PoolMax<T>,
    PoolTake<T>,
    PoolPut<T>,
    PoolMean<T>,
    PoolSpread<T>,
    Moments<T>,
    Products<T>,
    Standardize<T>,
    Project<T>,
    Mix<T>,
    MixSpread<T>,
    MixInner<T>,
};

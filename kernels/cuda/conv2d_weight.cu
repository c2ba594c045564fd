// conv2d_weight: the gradient of a convolution's weight, a sum of outer products over all pixels.
//
// 1. Formula    y[q,k] = Σ_m A[m,q] · g[m,k], with m = (n,i,j) a pixel of g, q = (r,t,c) a tap, k an output channel.
// 2. Index map  A[m,q] = x[n, i·s+r-p, j·s+t-p, c] as in conv2d.cu, read the other way: now neighbours lie along the
//               rows of the product, not along the sum.
// 3. Loops      conv2d_weight_plain: for q: for k: for m: y += A·g, a thread for each (q, k).
// 4. Tiles      as in conv2d.cu. The sum is long (all pixels of a batch) and y small (a weight): a few blocks would do
//               all the work. So gridDim.z blocks share one sum; each leaves its part in its own copy of y, and
//               add_parts (reduce.cu) adds them up in a fixed order: the same bits every time, unlike atomics.
//
// Twin: ../reference.py:conv2d_weight.  Stands on conv.cuh.  Read reduce.cu next.
#include "conv.cuh"

extern "C" __global__ void conv2d_weight_plain(const number* x, const number* g, void* y, SHAPE) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= kh * kw * channels * filters) return;
    int k = index % filters, c = index / filters % channels, t = index / filters / channels % kw;
    int r = index / filters / channels / kw;
    real sum = 0;
    for (int n = 0; n < images; n++)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++) {
                int h = i * sh + r - ph, v = j * sw + t - pw;
                if (h < 0 || h >= height || v < 0 || v >= width) continue;
                sum += (real)x[((n * height + h) * width + v) * channels + c] *
                       g[((n * rows + i) * columns + j) * filters + k];
            }
    Out{y, exact}.put<1>(index, {sum});
}

__device__ inline auto implicit(const number* x, const number* g, void* y, SHAPE) {
    Shape s = {GIVEN};
    auto a = operand(x, s.window(), s.windows(), height, width, channels % CHUNK == 0);
    auto b = operand(g, Line{filters, 1}, Line{s.pixels(), filters}, 1, 1, filters % CHUNK == 0);
    Out out = Out{y, exact}.from((size_t)blockIdx.z * s.taps() * filters);
    return product(a, b, Line{s.taps(), filters}, out, filters, s.pixels(), blockIdx.z, gridDim.z);
}

extern "C" __global__ void RESIDENT(256) conv2d_weight_tiled(const number* x, const number* g, void* y, SHAPE) {
    tile(implicit(x, g, y, GIVEN));
}

#ifdef TENSOR_CORES
#define TENSOR(name, BM, BN, WM, WN)                                         \
    extern "C" __global__ void TENSOR_BLOCK(BM, BN, WM, WN)                  \
        name(const number* x, const number* g, void* y, SHAPE) {                 \
        tensor_tile<BM, BN, WM, WN, false, false>(implicit(x, g, y, GIVEN)); \
    }
TENSOR(conv2d_weight_tensor_256x128, 256, 128, 64, 64)
TENSOR(conv2d_weight_tensor_128x128, 128, 128, 64, 64)
TENSOR(conv2d_weight_tensor_128x64, 128, 64, 64, 32)
TENSOR(conv2d_weight_tensor_64x64, 64, 64, 32, 32)
TENSOR(conv2d_weight_tensor_128x16, 128, 16, 32, 16)
#endif

// conv2d.
//
// 1. Formula    y[m,k] = Σ_q A[m,q] · B[q,k], a matrix product in disguise, where m = (n,i,j) is an output pixel,
//               q = (r,t,c) a tap of the window, k an output channel.
// 2. Index map  A[m,q] = x[n, i·s+r-p, j·s+t-p, c]: computed, never stored (maps.cuh). For fixed r and t the taps c are
//               neighbours in memory: one 16-byte copy brings four. B is w as it lies.
// 3. Loops      conv2d_plain: for m: for k: for q: y += A·B, a thread for each (m, k).
// 4. Tiles      conv2d_tiled: a block owns 64 x 64 of y and shares what it reads (tile.cuh).
//               conv2d_tensor_*: on tensor cores, with copies under way meanwhile (tensor_tile.cuh); the name says how
//               much of y a block owns: 256 x 128 for large layers, others to have enough blocks, 128 x 16 for images.
//
// Twin: ../reference.py:conv2d.  Stands on conv.cuh.  Read conv_transpose2d.cu next.
#include "conv.cuh"

extern "C" __global__ void conv2d_plain(const number* x, const number* w, void* y, SHAPE) {
    long long index = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (index >= (long long)images * rows * columns * filters) return;
    int k = index % filters, j = index / filters % columns, i = index / filters / columns % rows;
    int n = index / filters / columns / rows;
    real sum = 0;
    for (int r = 0; r < kh; r++)
        for (int t = 0; t < kw; t++) {
            int h = i * sh + r - ph, v = j * sw + t - pw;
            if (h < 0 || h >= height || v < 0 || v >= width) continue;
            for (int c = 0; c < channels; c++)
                sum += (real)x[((n * height + h) * width + v) * channels + c] *
                       w[((r * kw + t) * channels + c) * filters + k];
        }
    Out{y, exact}.put<1>(index, {sum});
}

__device__ inline auto implicit(const number* x, const number* w, void* y, SHAPE) {
    Shape s = {GIVEN};
    auto a = operand(x, s.windows(), s.window(), height, width, channels % CHUNK == 0);
    auto b = operand(w, Line{filters, 1}, Line{s.taps(), filters}, 1, 1, filters % CHUNK == 0);
    Out out = Out{y, exact}.from((size_t)blockIdx.z * s.pixels() * filters);
    return product(a, b, Line{s.pixels(), filters}, out, filters, s.taps(), blockIdx.z, gridDim.z);
}

extern "C" __global__ void RESIDENT(256) conv2d_tiled(const number* x, const number* w, void* y, SHAPE) {
    tile(implicit(x, w, y, GIVEN));
}

#ifdef TENSOR_CORES
#define TENSOR(name, BM, BN, WM, WN)                                        \
    extern "C" __global__ void TENSOR_BLOCK(BM, BN, WM, WN)                 \
        name(const number* x, const number* w, void* y, SHAPE) {                \
        tensor_tile<BM, BN, WM, WN, true, false>(implicit(x, w, y, GIVEN)); \
    }
TENSOR(conv2d_tensor_256x128, 256, 128, 64, 64)
TENSOR(conv2d_tensor_128x128, 128, 128, 64, 64)
TENSOR(conv2d_tensor_128x64, 128, 64, 64, 32)
TENSOR(conv2d_tensor_64x64, 64, 64, 32, 32)
TENSOR(conv2d_tensor_128x16, 128, 16, 32, 16)
#endif

// conv_transpose2d: the conv2d of stride s, the other way.
//
// 1. Formula    y[n, i·s+r-p, j·s+t-p, c] += x[n,i,j,k] · w[r,t,c,k]: scattered as it stands, and made a sum by asking
//               which (i, r) land on a given output row h. With h + p = s·(i' + base) + ρ they are r = ρ + s·u and
//               i = i' + base - u for u = 0, 1, ...: all rows of one phase, h mod s, see the same taps.
// 2. Index map  So y is s·s dense convolutions of stride 1, one for each phase (a, b):
//               y[m,c] = Σ_q A[m,q] · B[q,c],  m = (n,i',j') a pixel of the phase,  q = (u,v,k),
//               A[m,q] = x[n, i'+base-u, j'+base'-v, k],  B[q,c] = w[ρ+s·u, ρ'+s·v, c, k]. Both lie along k.
// 3. Loops      conv_transpose2d_plain: a thread for each number of y asks every tap whether it lands here.
// 4. Tiles      as in conv2d.cu; the phase is the grid's third axis. Each writes its own pixels: nothing is scattered,
//               nothing multiplied by inserted zeros.
// 5. Images     have so few channels that all taps of a pixel are one product, parts[m,(r,t,c)] = Σ_k x[m,k] · w[r,t,c,k]
//               (gemm.cu), which reads x once and not for every tap. conv_transpose2d_gather adds up what lands on a
//               pixel.
//
// Twin: ../reference.py:conv_transpose2d.  Stands on conv.cuh.  Read conv2d_weight.cu next.
#include "conv.cuh"

constexpr int FEW = 4;  // channels of an image, as in conv.py

extern "C" __global__ void conv_transpose2d_plain(const number* x, const number* w, void* y, SHAPE) {
    long long index = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (index >= (long long)images * height * width * channels) return;
    int c = index % channels, v = index / channels % width, h = index / channels / width % height;
    int n = index / channels / width / height;
    real sum = 0;
    for (int r = 0; r < kh; r++)
        for (int t = 0; t < kw; t++) {
            int i = h + ph - r, j = v + pw - t;
            if (i < 0 || i % sh || i / sh >= rows || j < 0 || j % sw || j / sw >= columns) continue;
            const number* pixel = x + ((n * rows + i / sh) * columns + j / sw) * filters;
            for (int k = 0; k < filters; k++) sum += (real)pixel[k] * w[((r * kw + t) * channels + c) * filters + k];
        }
    Out{y, exact}.put<1>(index, {sum});
}

extern "C" __global__ void conv_transpose2d_gather(const real* parts, void* y, SHAPE) {
    int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= images * height * width) return;
    int v = pixel % width, h = pixel / width % height, n = pixel / width / height;
    real sums[FEW] = {};
    for (int r = (h + ph) % sh; r < kh; r += sh)
        for (int t = (v + pw) % sw; t < kw; t += sw) {
            int i = (h + ph - r) / sh, j = (v + pw - t) / sw;
            if (i < 0 || i >= rows || j < 0 || j >= columns) continue;
            const real* part = parts + (((n * rows + i) * columns + j) * kh * kw + r * kw + t) * channels;
            for (int c = 0; c < FEW; c++)
                if (c < channels) sums[c] += part[c];
        }
    for (int c = 0; c < FEW; c++)
        if (c < channels) Out{y, exact}.put<1>(pixel * channels + c, {sums[c]});
}

// One axis of a phase: pixels first, first + stride, ... of `size`, and the taps that reach them.
struct Phase {
    int first, pixels, base, tap, taps;
    __device__ Phase(int first, int kernel, int stride, int padding, int size) : first(first) {
        base = (first + padding) / stride, tap = (first + padding) % stride;
        pixels = (size - first + stride - 1) / stride;
        taps = tap < kernel ? (kernel - tap + stride - 1) / stride : 0;
    }
};

__device__ inline auto implicit(const number* x, const number* w, void* y, SHAPE) {
    int across = min(sw, width), phases = min(sh, height) * across;
    int phase = blockIdx.z % phases, part = blockIdx.z / phases, parts = gridDim.z / phases;
    Phase down(phase / across, kh, sh, ph, height), right(phase % across, kw, sw, pw, width);
    int count = images * down.pixels * right.pixels, depth = down.taps * right.taps * filters;
    Divider by_column(right.pixels), by_row(down.pixels), by_filter(filters), by_tap(max(1, right.taps));

    Pixels pixels = {count, rows * columns * filters, columns * filters, filters, 1, down.base, 1, right.base,
                     by_column, by_row};
    Taps back = {depth, columns * filters, filters, -1, by_filter, by_tap};
    auto a = operand(x, pixels, back, rows, columns, filters % CHUNK == 0);

    const number* first = w + (down.tap * kw + right.tap) * channels * filters;
    Taps every = {depth, sh * kw * channels * filters, sw * channels * filters, 1, by_filter, by_tap};
    auto b = operand(first, Line{channels, filters}, every, down.taps, right.taps, filters % CHUNK == 0);

    Pixels here = {count, height * width * channels, sh * width * channels, sw * channels, 1, 0, 1, 0, by_column,
                   by_row};
    size_t first_number = (size_t)part * images * height * width * channels + (down.first * width + right.first) * channels;
    return product(a, b, here, Out{y, exact}.from(first_number), channels, depth, part, parts);
}

extern "C" __global__ void RESIDENT(256) conv_transpose2d_tiled(const number* x, const number* w, void* y, SHAPE) {
    tile(implicit(x, w, y, GIVEN));
}

#ifdef TENSOR_CORES
#define TENSOR(name, BM, BN, WM, WN)                                       \
    extern "C" __global__ void TENSOR_BLOCK(BM, BN, WM, WN)                \
        name(const number* x, const number* w, void* y, SHAPE) {               \
        tensor_tile<BM, BN, WM, WN, true, true>(implicit(x, w, y, GIVEN)); \
    }
TENSOR(conv_transpose2d_tensor_256x128, 256, 128, 64, 64)
TENSOR(conv_transpose2d_tensor_128x128, 128, 128, 64, 64)
TENSOR(conv_transpose2d_tensor_128x64, 128, 64, 64, 32)
TENSOR(conv_transpose2d_tensor_64x64, 64, 64, 32, 32)
TENSOR(conv_transpose2d_tensor_128x16, 128, 16, 32, 16)
#endif

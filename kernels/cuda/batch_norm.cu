// Batch norm and the leaky ReLU behind it: two passes over memory forward, two backward.
//
// 1. Formulas   forward    μ, σ² of every channel;  y = leaky((x - μ)·a + β),  a = γ / sqrt(σ² + ε)
//               backward   gβ = Σ h,  gγ = Σ h·x̂,  h = gy behind the activation,  x̂ = (x - μ) / sqrt(σ² + ε)
//                          gx = a·(h - gβ/M - x̂·gγ/M)
// 2. Index map  x is (M, C), channels last: a thread takes WIDE neighbouring channels at once, of every so many rows
//               of its block's share; a line of threads takes neighbouring runs. Its coefficients stay in registers.
//               Where C or an address does not allow that, a thread takes one channel.
// 3. Sums       over a share in registers, over the threads of a channel in shared memory, over gridDim.y shares by a
//               second kernel in double: always in the same order. Values are taken around x[0], so that nothing
//               cancels when a mean is large beside its deviation.
//
// Memory is what these kernels wait for, so several loads are under way at a time: loops are unrolled, and __restrict__
// says that what is written is not what is read.
//
// Twins: ../reference.py, the same names.  Stands on maps.cuh.  Read optim.cu next.
#include "maps.cuh"

constexpr int THREADS = 256, LANES = 32, LINES = 32;  // of a block that reads x; of one that adds up shares
#define MEMORY_BOUND __launch_bounds__(THREADS, 4)

template <int W> __device__ int first_channel() { return (blockIdx.x * blockDim.x + threadIdx.x) * W; }

// f(row, c, first, second) adds to two sums for each channel; those over the block's share go to parts (shares, 2, C).
template <int W, class F> __device__ void two_sums(real* parts, int rows, int channels, F f) {
    __shared__ __align__(16) real sums[2][THREADS * WIDE];
    int c = first_channel<W>(), mine = threadIdx.y * blockDim.x + threadIdx.x;
    Share share(rows, blockIdx.y, gridDim.y);
    Run<W, real> both[2] = {};
    if (c < channels)
#pragma unroll 4
        for (int row = share.first + threadIdx.y; row < share.last; row += blockDim.y) f(row, c, both[0], both[1]);
    for (int i = 0; i < 2; i++) ((Run<W, real>*)sums[i])[mine] = both[i];
    __syncthreads();
    if (threadIdx.y >= 2 || c >= channels) return;
    Run<W, real> sum = {};
    for (int line = 0; line < blockDim.y; line++)
        for (int w = 0; w < W; w++) sum.at[w] += sums[threadIdx.y][(line * blockDim.x + threadIdx.x) * W + w];
    *(Run<W, real>*)(parts + (size_t)(blockIdx.y * 2 + threadIdx.y) * channels + c) = sum;
}

// The two sums of a channel over all shares, for the first line of a block of LANES x LINES threads.
struct Totals {
    double first = 0, second = 0;
    __device__ Totals(const real* parts, int shares, int channels, int c) {
        __shared__ double sums[2][LINES][LANES];
        if (c < channels)
#pragma unroll 4
            for (int i = threadIdx.y; i < shares; i += LINES) {
                first += parts[(size_t)i * 2 * channels + c];
                second += parts[(size_t)(i * 2 + 1) * channels + c];
            }
        sums[0][threadIdx.y][threadIdx.x] = first;
        sums[1][threadIdx.y][threadIdx.x] = second;
        __syncthreads();
        first = second = 0;
        for (int line = 0; line < LINES && !threadIdx.y; line++)
            first += sums[0][line][threadIdx.x], second += sums[1][line][threadIdx.x];
    }
};

#define NORM const real *gamma, const real *beta, const real *moments, int rows, int channels, real eps, real slope
#define GIVEN gamma, beta, moments, rows, channels, eps, slope

template <int W> struct Channels {  // the coefficients of a thread's channels
    real mean[W], inverse[W], scale[W], shift[W], slope;
    __device__ Channels(int c, NORM) : slope(slope) {
        for (int w = 0; w < W && c + w < channels; w++) {
            mean[w] = moments[c + w], inverse[w] = 1 / sqrt(moments[channels + c + w] + eps);
            scale[w] = gamma[c + w] * inverse[w], shift[w] = beta[c + w];
        }
    }
    __device__ real normed(real x, int w) const { return (x - mean[w]) * scale[w] + shift[w]; }
    __device__ real behind(real gy, real x, int w) const { return normed(x, w) > 0 ? gy : slope * gy; }
};

template <int W> __device__ void sums(const number* __restrict__ x, real* __restrict__ parts, int rows, int channels) {
    int c = first_channel<W>();
    Run<W, real> around = c < channels ? load<W>(x + c) : Run<W, real>{};
    two_sums<W>(parts, rows, channels, [=](int row, int c, Run<W, real>& sum, Run<W, real>& squares) {
        Run<W, real> v = load<W>(x + (size_t)row * channels + c);
        for (int w = 0; w < W; w++) {
            real d = v.at[w] - around.at[w];
            sum.at[w] += d, squares.at[w] += d * d;
        }
    });
}

template <int W>
__device__ void gradient_sums(const number* __restrict__ gy, const number* __restrict__ x, real* __restrict__ parts, NORM) {
    Channels<W> k(first_channel<W>(), GIVEN);
    two_sums<W>(parts, rows, channels, [=](int row, int c, Run<W, real>& sum, Run<W, real>& products) {
        size_t at = (size_t)row * channels + c;
        Run<W, real> g = load<W>(gy + at), v = load<W>(x + at);
        for (int w = 0; w < W; w++) {
            real h = k.behind(g.at[w], v.at[w], w);
            sum.at[w] += h, products.at[w] += h * (v.at[w] - k.mean[w]);
        }
    });
}

template <int W> __device__ void forward(const number* __restrict__ x, number* __restrict__ y, NORM) {
    int c = first_channel<W>();
    if (c >= channels) return;
    Channels<W> k(c, GIVEN);
#pragma unroll 2
    for (int row = blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += gridDim.y * blockDim.y) {
        size_t at = (size_t)row * channels + c;
        Run<W, real> v = load<W>(x + at);
        for (int w = 0; w < W; w++) {
            real n = k.normed(v.at[w], w);
            v.at[w] = n > 0 ? n : slope * n;
        }
        save(y + at, v);
    }
}

template <int W>
__device__ void backward(const number* __restrict__ gy, const number* __restrict__ x, const real* __restrict__ gradients,
                         number* __restrict__ gx, NORM) {
    int c = first_channel<W>();
    if (c >= channels) return;
    Channels<W> k(c, GIVEN);
    real g_gamma[W], g_beta[W];
    for (int w = 0; w < W; w++) g_gamma[w] = gradients[c + w] / rows, g_beta[w] = gradients[channels + c + w] / rows;
#pragma unroll 2
    for (int row = blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += gridDim.y * blockDim.y) {
        size_t at = (size_t)row * channels + c;
        Run<W, real> g = load<W>(gy + at), v = load<W>(x + at);
        for (int w = 0; w < W; w++) {
            real x_hat = (v.at[w] - k.mean[w]) * k.inverse[w];
            g.at[w] = k.scale[w] * (k.behind(g.at[w], v.at[w], w) - g_beta[w] - x_hat * g_gamma[w]);
        }
        save(gx + at, g);
    }
}

extern "C" __global__ void MEMORY_BOUND
    batch_norm_sums(const number* x, real* parts, int rows, int channels, int wide) {
    if (wide) sums<WIDE>(x, parts, rows, channels);
    else sums<1>(x, parts, rows, channels);
}

extern "C" __global__ void batch_norm_moments(const number* x, const real* parts, int shares, real* y, int rows,
                                              int channels) {
    int c = blockIdx.x * LANES + threadIdx.x;
    Totals sum(parts, shares, channels, c);
    if (c >= channels || threadIdx.y) return;
    double mean = sum.first / rows, variance = sum.second / rows - mean * mean;
    y[c] = (real)x[c] + mean;
    y[channels + c] = variance > 0 ? variance : 0;
}

// mean, variance: the running ones, kept to (1 - momentum), moved by momentum; unbiased is M/(M-1).
extern "C" __global__ void batch_norm_running(const real* moments, real* mean, real* variance, int channels, real keep,
                                              real momentum, real unbiased) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    mean[c] = keep * mean[c] + momentum * moments[c];
    variance[c] = keep * variance[c] + momentum * (moments[channels + c] * unbiased);
}

extern "C" __global__ void MEMORY_BOUND batch_norm(const number* x, number* y, int wide, NORM) {
    if (wide) forward<WIDE>(x, y, GIVEN);
    else forward<1>(x, y, GIVEN);
}

extern "C" __global__ void MEMORY_BOUND
    batch_norm_gradient_sums(const number* gy, const number* x, real* parts, int wide, NORM) {
    if (wide) gradient_sums<WIDE>(gy, x, parts, GIVEN);
    else gradient_sums<1>(gy, x, parts, GIVEN);
}

// y (2, C): gγ and gβ.
extern "C" __global__ void batch_norm_gradients(const real* parts, int shares, real* y, NORM) {
    int c = blockIdx.x * LANES + threadIdx.x;
    Totals sum(parts, shares, channels, c);
    if (c >= channels || threadIdx.y) return;
    y[c] = sum.second / sqrt(moments[channels + c] + eps);
    y[channels + c] = sum.first;
}

extern "C" __global__ void MEMORY_BOUND
    batch_norm_backward(const number* gy, const number* x, const real* gradients, number* gx, int wide, NORM) {
    if (wide) backward<WIDE>(gy, x, gradients, gx, GIVEN);
    else backward<1>(gy, x, gradients, gx, GIVEN);
}

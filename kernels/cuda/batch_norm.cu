// Batch norm and the leaky ReLU behind it: two passes over memory forward, two backward.
//
// 1. Formulas   forward    μ, σ² of every channel;  y = leaky((x - μ)·a + β),  a = γ / sqrt(σ² + ε)
//               backward   gβ = Σ h,  gγ = Σ h·x̂,  h = gy behind the activation,  x̂ = (x - μ) / sqrt(σ² + ε)
//                          gx = a·(h - gβ/M - x̂·gγ/M)
// 2. Index map  x is (M, C), channels last: a warp reads 32 neighbouring channels of a row, a thread one channel of
//               every eighth row of its block's share. Its coefficients stay in registers.
// 3. Sums       over a share in registers, over the 8 threads of a channel in shared memory, over gridDim.y shares by a
//               second kernel in double: always in the same order. Values are taken around x[0], so that nothing
//               cancels when a mean is large beside its deviation.
//
// Twins: ../reference.py, the same names.  Stands on maps.cuh.  Read optim.cu next.
#include "maps.cuh"

constexpr int LINES = 8;  // threads that share a channel of a block's rows

// f(place) -> two numbers for each of this thread's rows; their sums over the block's share go to parts (shares, 2, C).
template <class F> __device__ void two_sums(real* parts, int rows, int channels, F f) {
    __shared__ real sums[2][LINES][32];
    int c = blockIdx.x * 32 + threadIdx.x;
    Share share(rows, blockIdx.y, gridDim.y);
    real first = 0, second = 0;
    if (c < channels)
        for (int row = share.first + threadIdx.y; row < share.last; row += LINES)
            f((size_t)row * channels + c, c, first, second);
    sums[0][threadIdx.y][threadIdx.x] = first;
    sums[1][threadIdx.y][threadIdx.x] = second;
    __syncthreads();
    if (threadIdx.y >= 2 || c >= channels) return;
    real sum = 0;
    for (int i = 0; i < LINES; i++) sum += sums[threadIdx.y][i][threadIdx.x];
    parts[(size_t)(blockIdx.y * 2 + threadIdx.y) * channels + c] = sum;
}

__device__ inline double add_up(const real* parts, int which, int shares, int channels, int c) {
    double sum = 0;
    for (int i = 0; i < shares; i++) sum += parts[(size_t)(i * 2 + which) * channels + c];
    return sum;
}

struct Channel {  // the coefficients of one channel
    real mean, inverse, scale, shift, slope;
    __device__ Channel(const real* gamma, const real* beta, const real* moments, int channels, int c, real eps,
                       real slope)
        : mean(moments[c]), inverse(1 / sqrt(moments[channels + c] + eps)), scale(gamma[c] * inverse), shift(beta[c]),
          slope(slope) {}
    __device__ real gate(real x) const { return (x - mean) * scale + shift > 0 ? real(1) : slope; }
};

extern "C" __global__ void RESIDENT(256) batch_norm_sums(const real* x, real* parts, int rows, int channels) {
    two_sums(parts, rows, channels, [=](size_t at, int c, real& sum, real& squares) {
        real v = x[at] - x[c];
        sum += v, squares += v * v;
    });
}

extern "C" __global__ void batch_norm_moments(const real* x, const real* parts, int shares, real* y, int rows,
                                              int channels) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double mean = add_up(parts, 0, shares, channels, c) / rows;
    double variance = add_up(parts, 1, shares, channels, c) / rows - mean * mean;
    y[c] = x[c] + mean;
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

#define NORM const real *gamma, const real *beta, const real *moments, int rows, int channels, real eps, real slope

extern "C" __global__ void RESIDENT(256) batch_norm(const real* x, real* y, NORM) {
    int c = blockIdx.x * 32 + threadIdx.x;
    if (c >= channels) return;
    Channel k(gamma, beta, moments, channels, c, eps, slope);
    for (int row = blockIdx.y * LINES + threadIdx.y; row < rows; row += gridDim.y * LINES) {
        size_t at = (size_t)row * channels + c;
        real v = (x[at] - k.mean) * k.scale + k.shift;
        y[at] = v > 0 ? v : slope * v;
    }
}

extern "C" __global__ void RESIDENT(256)
    batch_norm_gradient_sums(const real* gy, const real* x, real* parts, NORM) {
    int column = min(blockIdx.x * 32 + threadIdx.x, channels - 1);
    Channel k(gamma, beta, moments, channels, column, eps, slope);
    two_sums(parts, rows, channels, [=](size_t at, int, real& sum, real& products) {
        real h = gy[at] * k.gate(x[at]);
        sum += h, products += h * (x[at] - k.mean);
    });
}

// y (2, C): gγ and gβ.
extern "C" __global__ void batch_norm_gradients(const real* parts, int shares, real* y, NORM) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    Channel k(gamma, beta, moments, channels, c, eps, slope);
    y[c] = add_up(parts, 1, shares, channels, c) * k.inverse;
    y[channels + c] = add_up(parts, 0, shares, channels, c);
}

extern "C" __global__ void RESIDENT(256)
    batch_norm_backward(const real* gy, const real* x, const real* gradients, real* gx, NORM) {
    int c = blockIdx.x * 32 + threadIdx.x;
    if (c >= channels) return;
    Channel k(gamma, beta, moments, channels, c, eps, slope);
    real g_gamma = gradients[c] / rows, g_beta = gradients[channels + c] / rows;
    for (int row = blockIdx.y * LINES + threadIdx.y; row < rows; row += gridDim.y * LINES) {
        size_t at = (size_t)row * channels + c;
        real h = gy[at] * k.gate(x[at]);
        gx[at] = k.scale * (h - g_beta - (x[at] - k.mean) * k.inverse * g_gamma);
    }
}

// Pixel norm in CUDA C++: what 04_write_a_kernel.py's Numba kernels do, a warp for each pixel.
//
// 1. Formulas   y = x / r,  r = sqrt(mean(x²) + ε)        gx = (gy - y · mean(gy · y)) / r
// 2. Index map  pixel = blockIdx.x · 8 + threadIdx.y; lane t of its warp takes channels t, t + 32, ...: neighbours read
//               neighbours.
// 3. Sum        each lane adds up its channels; five exchanges give every lane the sum of all 32: lane t adds lane
//               t ^ 16's, then t ^ 8's, ... No shared memory, no barrier.
//
// DOUBLE is set by who compiles this: 1 for float64, 0 for float32.
#if DOUBLE
typedef double real;
#else
typedef float real;
#endif

__device__ real sum_of_warp(real x) {
    for (int other = 16; other; other /= 2) x += __shfl_xor_sync(0xffffffff, x, other);
    return x;
}

extern "C" __global__ void forward(const real* x, real* y, int pixels, int channels, real eps) {
    int pixel = blockIdx.x * 8 + threadIdx.y;
    if (pixel >= pixels) return;  // the whole warp: nobody waits for its lanes
    x += (size_t)pixel * channels, y += (size_t)pixel * channels;
    real squares = 0;
    for (int c = threadIdx.x; c < channels; c += 32) squares += x[c] * x[c];
    real scale = 1 / sqrt(sum_of_warp(squares) / channels + eps);
    for (int c = threadIdx.x; c < channels; c += 32) y[c] = x[c] * scale;
}

extern "C" __global__ void backward(const real* gy, const real* x, real* gx, int pixels, int channels, real eps) {
    int pixel = blockIdx.x * 8 + threadIdx.y;
    if (pixel >= pixels) return;
    gy += (size_t)pixel * channels, x += (size_t)pixel * channels, gx += (size_t)pixel * channels;
    real squares = 0, products = 0;
    for (int c = threadIdx.x; c < channels; c += 32) squares += x[c] * x[c], products += gy[c] * x[c];
    real scale = 1 / sqrt(sum_of_warp(squares) / channels + eps);
    real along = sum_of_warp(products) / channels * scale * scale;
    for (int c = threadIdx.x; c < channels; c += 32) gx[c] = (gy[c] - x[c] * along) * scale;
}

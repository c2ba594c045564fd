// Elementwise kernels: one pass over memory each, and memory is what they wait for.
//
// 1. Formulas   leaky_relu           y = x > 0 ? x : slope·x
//               leaky_relu_backward  gx = x > 0 ? gy : slope·gy
//               add                  y = a + b
//               bias_leaky_relu      y = leaky_relu(y + bias of the column), in place: what follows a matrix product
// 2. Loops      for i: y[i] = f(a[i], b[i]): 16 bytes a thread and step; the next warp takes the next 512.
//
// Twins: ../reference.py, the same names.  Stands on maps.cuh.  Read batch_norm.cu next.
#include "maps.cuh"

template <class F, class... In> __device__ void each(long long n, number* y, F f, const In*... in) {
    long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x, threads = (long long)gridDim.x * blockDim.x;
    bool aligned = ((size_t)y | ... | (size_t)in) % sizeof(Run<WIDE>) == 0;
    long long runs = aligned ? n / WIDE : 0;
    auto run = [&](auto... p) {
        Run<WIDE, real> out;
        for (int j = 0; j < WIDE; j++) out.at[j] = f(p.at[j]...);
        return out;
    };
    for (long long i = thread; i < runs; i += threads) save(y + i * WIDE, run(load<WIDE>(in + i * WIDE)...));
    for (long long i = runs * WIDE + thread; i < n; i += threads) y[i] = f(in[i]...);
}

extern "C" __global__ void leaky_relu(const number* x, number* y, long long n, real slope) {
    each(n, y, [=](real v) { return v > 0 ? v : slope * v; }, x);
}

extern "C" __global__ void leaky_relu_backward(const number* gy, const number* x, number* gx, long long n, real slope) {
    each(n, gx, [=](real g, real v) { return v > 0 ? g : slope * g; }, gy, x);
}

extern "C" __global__ void add(const number* a, const number* b, number* y, long long n) {
    each(n, y, [](real u, real v) { return u + v; }, a, b);
}

// A block of 32 x 8 threads takes 32 columns; gridDim.y blocks share the rows.
extern "C" __global__ void bias_leaky_relu(number* y, const real* bias, int rows, int columns, real slope) {
    int column = blockIdx.x * 32 + threadIdx.x;
    if (column >= columns) return;
    real b = bias[column];
    for (int row = blockIdx.y * 8 + threadIdx.y; row < rows; row += gridDim.y * 8) {
        real v = (real)y[(size_t)row * columns + column] + b;
        y[(size_t)row * columns + column] = v > 0 ? v : slope * v;
    }
}

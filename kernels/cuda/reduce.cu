// reduce: sums in an order that never changes, so that a run can be repeated to the last bit.
//
// add_parts      y[i] = Σ_p parts[p, i]: what the blocks that shared one sum (conv2d_weight.cu) have left.
// column_sums    y[part, c] = Σ x[m, c] over the part's rows m: a bias's gradient, once add_parts has added them up.
//
// Twin: ../reference.py:linear_backward, gb.  Stands on maps.cuh.  Read batch_norm.cu next.
#include "maps.cuh"

// 32 x 8 threads: a line adds every eighth part, then the first line adds up the lines.
extern "C" __global__ void add_parts(const real* parts, number* y, int count, int size) {
    __shared__ real sums[8][32];
    int i = blockIdx.x * 32 + threadIdx.x;
    real sum = 0;
    if (i < size)
#pragma unroll 8
        for (int p = threadIdx.y; p < count; p += 8) sum += parts[(size_t)p * size + i];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || i >= size) return;
    for (int line = 1; line < 8; line++) sum += sums[line][threadIdx.x];
    y[i] = sum;
}

// 32 x 8 threads: a warp reads 32 neighbouring columns of a row, eight rows at a time.
extern "C" __global__ void column_sums(const number* x, real* y, int rows, int columns) {
    __shared__ real sums[8][32];
    int column = blockIdx.x * 32 + threadIdx.x;
    Share share(rows, blockIdx.y, gridDim.y);
    real sum = 0;
    if (column < columns)
#pragma unroll 8
        for (int row = share.first + threadIdx.y; row < share.last; row += 8) sum += (real)x[(size_t)row * columns + column];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= columns) return;
    for (int i = 1; i < 8; i++) sum += sums[i][threadIdx.x];
    y[blockIdx.y * columns + column] = sum;
}

// gemm: matrix products.
//
// 1. Formula    y[m,n] = Σ_k a[m,k] · b[k,n], for every matrix of a batch.
// 2. Index map  a[m,k] lies at m·a_row + k·a_column, b likewise: a transpose is another pair of strides, never a copy.
// 3. Loops      gemm_plain: for m: for n: for k: y += a·b, a thread for each (m, n).
// 4. Tiles      gemm_tiled: shared memory (tile.cuh).  gemm_*_tensor_*: tensor cores (tensor_tile.cuh), for the three
//               ways in which neighbours can lie: nn as the formula has it, nt with b transposed, tn with a transposed.
//
// Twin: ../reference.py:matmul.  Stands on tile.cuh and tensor_tile.cuh.  Read conv.cuh next.
#include "tensor_tile.cuh"
#include "tile.cuh"

// Sizes; strides; how far it is to the next matrix of a batch. gridDim.z is batches · parts of each sum.
#define SIZES                                                                                                    \
    int m, int n, int k, int a_row, int a_column, int b_row, int b_column, int batches, int a_batch, int b_batch
#define GIVEN m, n, k, a_row, a_column, b_row, b_column, batches, a_batch, b_batch

extern "C" __global__ void gemm_plain(const real* a, const real* b, real* y, SIZES) {
    long long index = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (index >= (long long)batches * m * n) return;
    int column = index % n, row = index / n % m, batch = index / n / m;
    a += (size_t)batch * a_batch + row * a_row;
    b += (size_t)batch * b_batch + column * b_column;
    real sum = 0;
    for (int i = 0; i < k; i++) sum += a[i * a_column] * b[i * b_row];
    y[index] = sum;
}

template <bool A_ALONG, bool B_ALONG> __device__ auto strided(const real* a, const real* b, real* y, SIZES) {
    int batch = blockIdx.z % batches, part = blockIdx.z / batches, parts = gridDim.z / batches;
    bool a_fours = (A_ALONG ? k : m) % 4 == 0 && (A_ALONG ? a_row : a_column) % 4 == 0 && a_batch % 4 == 0;
    bool b_fours = (B_ALONG ? k : n) % 4 == 0 && (B_ALONG ? b_column : b_row) % 4 == 0 && b_batch % 4 == 0;
    auto left = operand(a + (size_t)batch * a_batch, Line{m, a_row}, Line{k, a_column}, 1, 1, a_fours);
    auto right = operand(b + (size_t)batch * b_batch, Line{n, b_column}, Line{k, b_row}, 1, 1, b_fours);
    y += (size_t)blockIdx.z * m * n;
    return product(left, right, Line{m, n}, y, n, k, part, parts);
}

extern "C" __global__ void RESIDENT(256) gemm_tiled(const real* a, const real* b, real* y, SIZES) {
    tile(strided<true, true>(a, b, y, GIVEN));
}

#ifdef TENSOR_CORES
#define TENSOR(name, BM, BN, WM, WN, A_ALONG, B_ALONG)                                            \
    extern "C" __global__ void TENSOR_BLOCK(BM, BN, WM, WN)                                       \
        name(const real* a, const real* b, real* y, SIZES) {                                      \
        tensor_tile<BM, BN, WM, WN, A_ALONG, B_ALONG>(strided<A_ALONG, B_ALONG>(a, b, y, GIVEN)); \
    }
TENSOR(gemm_nn_tensor_256x128, 256, 128, 64, 64, true, false)
TENSOR(gemm_nt_tensor_256x128, 256, 128, 64, 64, true, true)
TENSOR(gemm_tn_tensor_256x128, 256, 128, 64, 64, false, false)
TENSOR(gemm_nn_tensor_128x128, 128, 128, 64, 64, true, false)
TENSOR(gemm_nt_tensor_128x128, 128, 128, 64, 64, true, true)
TENSOR(gemm_tn_tensor_128x128, 128, 128, 64, 64, false, false)
TENSOR(gemm_nn_tensor_128x64, 128, 64, 64, 32, true, false)
TENSOR(gemm_nt_tensor_128x64, 128, 64, 64, 32, true, true)
TENSOR(gemm_tn_tensor_128x64, 128, 64, 64, 32, false, false)
TENSOR(gemm_nn_tensor_64x64, 64, 64, 32, 32, true, false)
TENSOR(gemm_nt_tensor_64x64, 64, 64, 32, 32, true, true)
TENSOR(gemm_tn_tensor_64x64, 64, 64, 32, 32, false, false)
#endif

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
    int m, int n, int k, int a_row, int a_column, int b_row, int b_column, int batches, int a_batch, int b_batch,  \
        int exact
#define GIVEN m, n, k, a_row, a_column, b_row, b_column, batches, a_batch, b_batch, exact

extern "C" __global__ void gemm_plain(const number* a, const number* b, void* y, SIZES) {
    long long index = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (index >= (long long)batches * m * n) return;
    int column = index % n, row = index / n % m, batch = index / n / m;
    a += (size_t)batch * a_batch + row * a_row;
    b += (size_t)batch * b_batch + column * b_column;
    real sum = 0;
    for (int i = 0; i < k; i++) sum += (real)a[i * a_column] * b[i * b_row];
    Out{y, exact}.put<1>(index, {sum});
}

template <bool A_ALONG, bool B_ALONG> __device__ auto strided(const number* a, const number* b, void* y, SIZES) {
    int batch = blockIdx.z % batches, part = blockIdx.z / batches, parts = gridDim.z / batches;
    bool a_chunks = (A_ALONG ? k : m) % CHUNK == 0 && (A_ALONG ? a_row : a_column) % CHUNK == 0 && a_batch % CHUNK == 0;
    bool b_chunks = (B_ALONG ? k : n) % CHUNK == 0 && (B_ALONG ? b_column : b_row) % CHUNK == 0 && b_batch % CHUNK == 0;
    auto left = operand(a + (size_t)batch * a_batch, Line{m, a_row}, Line{k, a_column}, 1, 1, a_chunks);
    auto right = operand(b + (size_t)batch * b_batch, Line{n, b_column}, Line{k, b_row}, 1, 1, b_chunks);
    Out out = Out{y, exact}.from((size_t)blockIdx.z * m * n);
    return product(left, right, Line{m, n}, out, n, k, part, parts);
}

extern "C" __global__ void RESIDENT(256) gemm_tiled(const number* a, const number* b, void* y, SIZES) {
    tile(strided<true, true>(a, b, y, GIVEN));
}

#ifdef TENSOR_CORES
#define TENSOR(name, BM, BN, WM, WN, A_ALONG, B_ALONG)                                            \
    extern "C" __global__ void TENSOR_BLOCK(BM, BN, WM, WN)                                       \
        name(const number* a, const number* b, void* y, SIZES) {                                      \
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

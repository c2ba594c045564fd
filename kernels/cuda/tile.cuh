// The tiled product: shared memory as a desk on which 64 x 64 sums are worked out together.
//
//     y[m,n] = Σ_k A[m,k] · B[k,n]
//
// A block of 16 x 16 threads owns 64 x 64 of y, a thread 4 x 4 of them in registers. Step by step, 64 x 16 numbers of A
// and 16 x 64 of B are put on the desk; each is then used 64 times, so that memory is read a 64th as often as the plain
// loops read it. Any dtype, any device.
//
// Stands on maps.cuh.  Read tensor_tile.cuh next.
#pragma once
#include "maps.cuh"

constexpr int SIDE = 64, DESK = 16, OWN = 4;

template <class P> __device__ void tile(P p) {
    __shared__ real left[DESK][SIDE + 1], right[DESK][SIDE + 1];
    int m = blockIdx.x * SIDE, n = blockIdx.y * SIDE;
    int across = threadIdx.x % DESK, down = threadIdx.x / DESK;
    real sums[OWN][OWN] = {};
    Share share = p.share(DESK);
    for (int step = share.first; step < share.last; step++) {
        for (int i = threadIdx.x; i < SIDE * DESK; i += DESK * DESK) {
            left[i % DESK][i / DESK] = p.a.at(m + i / DESK, step * DESK + i % DESK);
            right[i / SIDE][i % SIDE] = p.b.at(n + i % SIDE, step * DESK + i / SIDE);
        }
        __syncthreads();  // the desk is laid
        for (int k = 0; k < DESK; k++)
            for (int i = 0; i < OWN; i++)
                for (int j = 0; j < OWN; j++) sums[i][j] += left[k][down + DESK * i] * right[k][across + DESK * j];
        __syncthreads();  // everybody has read it
    }
    for (int i = 0; i < OWN; i++) {
        Part row = p.out(m + down + DESK * i);
        for (int j = 0; j < OWN; j++) {
            int column = n + across + DESK * j;
            if (row.row != FAR && column < p.columns) p.y.template put<1>(row.offset + column, {sums[i][j]});
        }
    }
}

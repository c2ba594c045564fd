// The product on tensor cores, with asynchronous copies two steps ahead of the multiplications.
//
//     y[m,n] = Σ_k A[m,k] · B[k,n]      inputs keep 11 significant bits (TF32) or 8 (bf16), sums are float32
//
// Memory, global and shared, holds float32 in both cases; a number is rounded when a register takes it (Panel::read).
// bf16 has half as many instructions, and the same traffic.
//
// A block owns BM x BN of y, a warp WM x WN of those in registers, one instruction 16 x 8. Shared memory holds STAGES
// steps of DEPTH numbers of k: while the tensor cores work on one, the copies of the next are under way. One barrier a
// step is enough: it says both that the stage's copies have landed for everybody and that everybody has done with the
// stage before, whose place the next copies take.
//
// A panel is an operand's part of a stage. It lies as the operand lies in memory, so that 16 bytes go over in one copy:
// ALONG, neighbours are neighbours in k, rows of DEPTH + 4; else neighbours in m (or n), rows of BM + 8. With these
// paddings the 32 lanes that read a fragment fall into 32 different banks: 20·g + t, or 8·t + g, modulo 32.
//
// Stands on maps.cuh and ptx.cuh.
#pragma once
#include "maps.cuh"
#include "ptx.cuh"

#if !DOUBLE && (defined(MINIGAN_EMULATOR) || __CUDA_ARCH__ >= 800)
#define TENSOR_CORES 1

// The threads of a tile's block, and how many blocks shall fit on a multiprocessor: one, where a warp holds 64 x 64 sums
// and a thread 128 of them; else 512 threads' worth.
#define TENSOR_BLOCK(BM, BN, WM, WN) \
    __launch_bounds__(BM / WM * BN / WN * 32, WM * WN > 2048 ? 1 : 512 / (BM / WM * BN / WN * 32))

constexpr int STAGES = 3, DEPTH = 16;
constexpr int TAKES = BF16 ? 16 : 8;  // numbers of k that one instruction takes

template <int ROWS, bool ALONG> struct Panel {
    static constexpr int PITCH = ALONG ? DEPTH + 4 : ROWS + 8, SIZE = PITCH * (ALONG ? ROWS : DEPTH);
    float* at;
    __device__ float* place(int row, int k) const { return at + (ALONG ? row * PITCH + k : k * PITCH + row); }

    // One register of a fragment: for TF32 one number, for bf16 two. Which two of k go together is free, if it is the
    // same for both operands: k + 4 keeps to the banks that TF32 reads.
    __device__ unsigned read(int row, int k) const {
        return BF16 ? to_bf16(*place(row, k), *place(row, k + 4)) : to_tf32(*place(row, k));
    }

    // Send for rows first_row ... and steps first_k ... of the operand, four numbers at a time.
    template <int THREADS, class O> __device__ void fetch(const O& operand, int first_row, int first_k) const {
        constexpr int CHUNKS = ROWS * DEPTH / 4;
#pragma unroll
        for (int round = 0; round * THREADS < CHUNKS; round++) {
            int chunk = round * THREADS + threadIdx.x;
            if (CHUNKS % THREADS && chunk >= CHUNKS) break;
            int row = ALONG ? chunk / (DEPTH / 4) : chunk % (ROWS / 4) * 4;
            int k = ALONG ? chunk % (DEPTH / 4) * 4 : chunk / (ROWS / 4);
            float* to = place(row, k);
            if (operand.wide)
                copy<16>(to, operand, first_row + row, first_k + k);
            else
#pragma unroll
                for (int i = 0; i < 4; i++)
                    copy<4>(to + i, operand, first_row + row + (ALONG ? 0 : i), first_k + k + (ALONG ? i : 0));
        }
    }
    template <int BYTES, class O> __device__ void copy(float* to, const O& operand, int row, int k) const {
        Part p = operand.outer(row) + operand.inner(k);
        bool inside = operand.inside(p);
        copy_async<BYTES>(to, operand.memory + (inside ? p.offset : 0), inside);
    }
};

// One stage into the sums of this warp, whose part begins at (wm, wn) of the block's.
template <int MS, int NS, class Left, class Right>
__device__ inline void multiply(float (&sums)[MS][NS][4], Left left, Right right, int wm, int wn) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int k = 0; k < DEPTH; k += TAKES) {
        unsigned a[MS][4], b[NS][2];
#pragma unroll
        for (int i = 0; i < MS; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) a[i][e] = left.read(wm + i * 16 + g + e % 2 * 8, k + t + e / 2 * (TAKES / 2));
#pragma unroll
        for (int j = 0; j < NS; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) b[j][e] = right.read(wn + j * 8 + g, k + t + e * (TAKES / 2));
#pragma unroll
        for (int i = 0; i < MS; i++)
#pragma unroll
            for (int j = 0; j < NS; j++) {
                if (BF16) mma_bf16(sums[i][j], a[i], b[j]);
                else mma_tf32(sums[i][j], a[i], b[j]);
            }
    }
}

template <int MS, int NS, class P>
__device__ inline void store(const float (&sums)[MS][NS][4], const P& p, int m, int n) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < MS; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            Part row = p.out(m + i * 16 + half * 8 + g);
            if (row.row == FAR) continue;
#pragma unroll
            for (int j = 0; j < NS; j++) {
                int column = n + j * 8 + t * 2;
                float* to = p.y + row.offset + column;
                if (column < p.columns) to[0] = sums[i][j][half * 2];
                if (column + 1 < p.columns) to[1] = sums[i][j][half * 2 + 1];
            }
        }
}

template <int BM, int BN, int WM, int WN, bool A_ALONG, bool B_ALONG, class P> __device__ void tensor_tile(P p) {
    constexpr int THREADS = (BM / WM) * (BN / WN) * 32;
    extern __shared__ __align__(16) float stages[];
    typedef Panel<BM, A_ALONG> Left;
    typedef Panel<BN, B_ALONG> Right;
    Share share = p.share(DEPTH);
    int m = blockIdx.x * BM, n = blockIdx.y * BN;
    int warp = threadIdx.x / 32, wm = warp % (BM / WM) * WM, wn = warp / (BM / WM) * WN;
    auto stage = [&](int step) { return stages + (step - share.first) % STAGES * (Left::SIZE + Right::SIZE); };
    auto fetch = [&](int step) {
        if (step < share.last) {
            Left{stage(step)}.template fetch<THREADS>(p.a, m, step * DEPTH);
            Right{stage(step) + Left::SIZE}.template fetch<THREADS>(p.b, n, step * DEPTH);
        }
        commit_copies();
    };
    for (int i = 0; i < STAGES - 1; i++) fetch(share.first + i);
    float sums[WM / 16][WN / 8][4] = {};
    for (int step = share.first; step < share.last; step++) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        fetch(step + STAGES - 1);
        multiply(sums, Left{stage(step)}, Right{stage(step) + Left::SIZE}, wm, wn);
    }
    store(sums, p, m + wm, n + wn);
}

#endif

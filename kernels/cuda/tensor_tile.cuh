// The product on tensor cores, with asynchronous copies two steps ahead of the multiplications.
//
//     y[m,n] = Σ_k A[m,k] · B[k,n]      inputs keep 11 significant bits (TF32) or 8 (bf16), sums are float32
//
// Memory, global and shared, holds float32 in both cases; a number is rounded when a register takes it (fragments).
// bf16 has half as many instructions, and the same traffic.
//
// A block owns BM x BN of y, a warp WM x WN of those in registers, one instruction 16 x 8. Shared memory holds STAGES
// steps of DEPTH numbers of k: while the tensor cores work on one, the copies of the next are under way. One barrier a
// step is enough: it says both that the stage's copies have landed for everybody and that everybody has done with the
// stage before, whose place the next copies take.
//
// A tensor core does an instruction in the time in which its warps issue four to eight, so what counts is how many others
// there are (machine_code.py counts them). Hence: what does not change from step to step is computed before
// the first (Courier), and one instruction brings four numbers of a fragment (Panel).
//
// Stands on maps.cuh and ptx.cuh.
#pragma once
#include "maps.cuh"
#include "ptx.cuh"

#if !DOUBLE && (defined(MINIGAN_EMULATOR) || __CUDA_ARCH__ >= 800)
#define TENSOR_CORES 1

// The threads of a tile's block, and how many threads shall fit on a multiprocessor with their registers: of a warp's
// WM x WN sums a thread holds a 32nd.
#define TENSOR_THREADS(BM, BN, WM, WN) (BM / WM * BN / WN * 32)
#define TENSOR_RESIDENT(WM, WN) (WM * WN > 2048 ? 256 : WM * WN > 1024 ? 384 : 512)
#define TENSOR_BLOCK(BM, BN, WM, WN) \
    __launch_bounds__(TENSOR_THREADS(BM, BN, WM, WN), TENSOR_RESIDENT(WM, WN) / TENSOR_THREADS(BM, BN, WM, WN))

constexpr int STAGES = 3, DEPTH = 16;
constexpr int TAKES = BF16 ? 16 : 8;  // numbers of k that one instruction takes

// An operand's part of a stage: ROWS rows of A (or columns of B), of which a warp reads GROUPS groups of 8.
//
// It lies as the operand lies in memory, so that 16 bytes go over in one copy. ALONG, neighbours are neighbours in k:
// lines of DEPTH + 4, and ldmatrix hands out fours of k. Else they are neighbours in m (or n): lines of ROWS + 8, and a
// lane takes RUN neighbours, one for each of RUN groups: which row of y is called row i of a group is free, if store()
// calls it the same. With these paddings the eight lanes that are served together use 32 different banks.
template <int ROWS_, bool ALONG_, int GROUPS_> struct Panel {
    static constexpr int ROWS = ROWS_, GROUPS = GROUPS_;
    static constexpr bool ALONG = ALONG_;
    static constexpr int PITCH = ALONG ? DEPTH + 4 : ROWS + 8, LINES = ALONG ? ROWS : DEPTH, SIZE = PITCH * LINES;
    static constexpr int RUN = ALONG ? 1 : GROUPS < 4 ? GROUPS : 4;

    __device__ static int row(int group, int i) { return group / RUN * RUN * 8 + i * RUN + group % RUN; }

    // Of row g of every group, numbers k + t and k + t + 4.
    __device__ static void read(float (&numbers)[GROUPS][2], const float* panel, int first, int k) {
        int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
        for (int u = 0; u < GROUPS; u += ALONG ? 2 : RUN) {
            if constexpr (ALONG)
                load_matrices(numbers[u][0], numbers[u][1], numbers[u + 1][0], numbers[u + 1][1],
                              panel + (first + row(u, lane / 16 * 8 + lane % 8)) * PITCH + k + lane / 8 % 2 * 4);
            else
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    auto run = *(const Run<RUN>*)(panel + (k + t + half * 4) * PITCH + first + row(u, g));
#pragma unroll
                    for (int i = 0; i < RUN; i++) numbers[u + i][half] = run.at[i];
                }
        }
    }

    // The same as an instruction's registers. Which two of k share one of bf16 is free, if it is the same for both
    // operands: k + t and k + t + 4 are at hand.
    __device__ static void fragments(unsigned (&registers)[GROUPS][2], const float* panel, int first, int k) {
        float numbers[TAKES / 8][GROUPS][2];
#pragma unroll
        for (int i = 0; i < TAKES / 8; i++) read(numbers[i], panel, first, k + i * 8);
#pragma unroll
        for (int u = 0; u < GROUPS; u++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                registers[u][e] = BF16 ? to_bf16(numbers[e % (TAKES / 8)][u][0], numbers[e % (TAKES / 8)][u][1])
                                       : to_tf32(numbers[0][u][e]);
    }
};

// What a thread copies of an operand at every step: chunks of four numbers, each in one copy of 16 bytes or in four.
// Its places in the panel are always the same, hence its rows, too; and ALONG all its chunks have one k.
template <class Panel, int THREADS, int BYTES, class O> struct Courier {
    static constexpr int ACROSS = (Panel::ALONG ? DEPTH : Panel::ROWS) / 4, DOWN = THREADS / ACROSS;
    static constexpr int ROUNDS = (Panel::LINES + DOWN - 1) / DOWN, PIECES = 16 / BYTES;
    static_assert(THREADS % ACROSS == 0, "a thread keeps its place across");
    const O& operand;
    int line, place;
    Part rows[Panel::ALONG ? ROUNDS : PIECES];

    __device__ Courier(const O& operand, int first)
        : operand(operand), line(threadIdx.x / ACROSS), place(threadIdx.x % ACROSS * 4) {
#pragma unroll
        for (int i = 0; i < (Panel::ALONG ? ROUNDS : PIECES); i++)
            rows[i] = operand.outer(first + (Panel::ALONG ? line + i * DOWN : place + i));
    }

    __device__ void send(float* panel, int first_k, bool wanted) const {
        Part ks[Panel::ALONG ? PIECES : ROUNDS];
#pragma unroll
        for (int i = 0; i < (Panel::ALONG ? PIECES : ROUNDS); i++) {
            ks[i] = operand.inner(first_k + (Panel::ALONG ? place + i : line + i * DOWN));
            if (!wanted) ks[i].row = FAR;
        }
#pragma unroll
        for (int round = 0; round < ROUNDS; round++) {
            if (Panel::LINES % DOWN && line + round * DOWN >= Panel::LINES) break;
#pragma unroll
            for (int piece = 0; piece < PIECES; piece++) {
                Part p = rows[Panel::ALONG ? round : piece] + ks[Panel::ALONG ? piece : round];
                copy_async<BYTES>(panel + (line + round * DOWN) * Panel::PITCH + place + piece,
                                  operand.memory + p.offset, operand.inside(p));
            }
        }
    }
};

// One stage into the sums of this warp, whose part begins at (wm, wn) of the block's.
template <class Left, class Right, int MS, int NS>
__device__ inline void multiply(float (&sums)[MS][NS][4], const float* left, const float* right, int wm, int wn) {
#pragma unroll
    for (int k = 0; k < DEPTH; k += TAKES) {
        unsigned a[2 * MS][2], b[NS][2];
        Left::fragments(a, left, wm, k);
        Right::fragments(b, right, wn, k);
#pragma unroll
        for (int i = 0; i < MS; i++)
#pragma unroll
            for (int j = 0; j < NS; j++) {
                unsigned both[4] = {a[2 * i][0], a[2 * i + 1][0], a[2 * i][1], a[2 * i + 1][1]};
                if (BF16) mma_bf16(sums[i][j], both, b[j]);
                else mma_tf32(sums[i][j], both, b[j]);
            }
    }
}

template <int COUNT> __device__ inline void put(float* line, int column, int columns, const Run<COUNT>& run) {
    if (columns % COUNT == 0) {
        if (column < columns) *(Run<COUNT>*)(line + column) = run;
    } else
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            if (column + i < columns) line[column + i] = run.at[i];
}

template <class Left, class Right, int MS, int NS, class P>
__device__ inline void store(const float (&sums)[MS][NS][4], const P& p, int m, int n) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int u = 0; u < 2 * MS; u++) {
        Part row = p.out(m + Left::row(u, g));
        if (row.row == FAR) continue;
#pragma unroll
        for (int j = 0; j < NS; j += Right::RUN) {
            const float(*d)[4] = &sums[u / 2][j];
            int e = u % 2 * 2, column = n + Right::row(j, t * 2);  // columns 2·t and 2·t + 1 of RUN groups lie together
            if constexpr (Right::RUN == 4) {
                put<4>(p.y + row.offset, column, p.columns, {d[0][e], d[1][e], d[2][e], d[3][e]});
                put<4>(p.y + row.offset, column + 4, p.columns, {d[0][e + 1], d[1][e + 1], d[2][e + 1], d[3][e + 1]});
            } else if constexpr (Right::RUN == 2)
                put<4>(p.y + row.offset, column, p.columns, {d[0][e], d[1][e], d[0][e + 1], d[1][e + 1]});
            else
                put<2>(p.y + row.offset, column, p.columns, {d[0][e], d[0][e + 1]});
        }
    }
}

template <int BM, int BN, int WM, int WN, bool A_ALONG, bool B_ALONG, int BYTES, class P>
__device__ inline void tensor_steps(const P& p) {
    constexpr int THREADS = TENSOR_THREADS(BM, BN, WM, WN);
    typedef Panel<BM, A_ALONG, WM / 8> Left;
    typedef Panel<BN, B_ALONG, WN / 8> Right;
    constexpr int STAGE = Left::SIZE + Right::SIZE;
    extern __shared__ __align__(16) float stages[];
    Share share = p.share(DEPTH);
    int m = blockIdx.x * BM, n = blockIdx.y * BN;
    int warp = threadIdx.x / 32, wm = warp % (BM / WM) * WM, wn = warp / (BM / WM) * WN;
    Courier<Left, THREADS, BYTES, decltype(p.a)> a(p.a, m);
    Courier<Right, THREADS, BYTES, decltype(p.b)> b(p.b, n);
    auto fetch = [&](int step, int stage) {
        a.send(stages + stage * STAGE, step * DEPTH, step < share.last);
        b.send(stages + stage * STAGE + Left::SIZE, step * DEPTH, step < share.last);
        commit_copies();
    };
    for (int i = 0; i < STAGES - 1; i++) fetch(share.first + i, i);
    float sums[WM / 16][WN / 8][4] = {};
    int stage = 0, free = STAGES - 1;
    for (int step = share.first; step < share.last; step++) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        fetch(step + STAGES - 1, free);
        const float* left = stages + stage * STAGE;
        multiply<Left, Right>(sums, left, left + Left::SIZE, wm, wn);
        free = stage;
        stage = stage + 1 < STAGES ? stage + 1 : 0;
    }
    store<Left, Right>(sums, p, m + wm, n + wn);
}

template <int BM, int BN, int WM, int WN, bool A_ALONG, bool B_ALONG, class P> __device__ void tensor_tile(P p) {
    if (p.a.wide && p.b.wide) tensor_steps<BM, BN, WM, WN, A_ALONG, B_ALONG, 16>(p);
    else tensor_steps<BM, BN, WM, WN, A_ALONG, B_ALONG, 4>(p);
}

#endif

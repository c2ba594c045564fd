// The product on tensor cores, with asynchronous copies two steps ahead of the multiplications.
//
//     y[m,n] = Σ_k A[m,k] · B[k,n]      factors keep 11 significant bits (TF32) or 8 (bf16), sums are float32
//
// float32 lies as it is in shared memory too, and is rounded when a register takes it. bf16 is half as long: a stage
// holds twice as many numbers of k, an instruction takes twice as many.
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

constexpr int STAGES = 3, DEPTH = 4 * CHUNK;
constexpr int TAKES = 2 * CHUNK;  // numbers of k that one instruction takes

// An operand's part of a stage: ROWS rows of A (or columns of B), of which a warp reads GROUPS groups of 8.
//
// It lies as the operand lies in memory, so that 16 bytes go over in one copy. ALONG, neighbours are neighbours in k:
// lines of DEPTH and a chunk, of which ldmatrix hands out chunks. Else they are neighbours in m (or n): lines of ROWS +
// 8. ldmatrix turns those of bf16 round; of float32 it cannot, and a lane takes RUN neighbours, one for each of RUN
// groups: which row of y is called row i of a group is free, if store() calls it the same. With these paddings the
// eight lanes that are served together use 32 different banks.
template <int ROWS_, bool ALONG_, int GROUPS_, bool LEFT> struct Panel {
    static constexpr int ROWS = ROWS_, GROUPS = GROUPS_;
    static constexpr bool ALONG = ALONG_, MATRICES = ALONG || BF16;
    static constexpr int PITCH = ALONG ? DEPTH + CHUNK : ROWS + 8, LINES = ALONG ? ROWS : DEPTH, SIZE = PITCH * LINES;
    static constexpr int RUN = MATRICES ? 1 : GROUPS < 4 ? GROUPS : 4;

    __device__ static int row(int group, int i) { return group / RUN * RUN * 8 + i * RUN + group % RUN; }

    // Two groups' registers: which one holds chunk `half` of group `one`. A takes all four of them, B two and two.
    __device__ static constexpr int place(int one, int half) { return LEFT ? one + 2 * half : one * 2 + half; }

    // An instruction's registers: of row g of every group, word t of chunk k / CHUNK and of the next.
    __device__ static void fragments(unsigned (&registers)[GROUPS / 2][4], const number* panel, int first, int k) {
        int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
        for (int u = 0; u < GROUPS; u += MATRICES ? 2 : RUN) {
            if constexpr (MATRICES) {
                int one = LEFT ? lane / 8 % 2 : lane / 16, half = LEFT ? lane / 16 : lane / 8 % 2;
                load_matrices<!ALONG>(registers[u / 2],
                                      ALONG ? panel + (first + row(u + one, lane % 8)) * PITCH + k + half * CHUNK
                                            : panel + (k + half * 8 + lane % 8) * PITCH + first + row(u + one, 0));
            } else
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    auto run = *(const Run<RUN>*)(panel + (k + t + half * 4) * PITCH + first + row(u, g));
#pragma unroll
                    for (int i = 0; i < RUN; i++)
                        registers[(u + i) / 2][place((u + i) % 2, half)] = __float_as_uint(run.at[i]);
                }
        }
        if (!BF16)
#pragma unroll
            for (int u = 0; u < GROUPS / 2; u++)
                for (unsigned& r : registers[u]) r = to_tf32(__uint_as_float(r));
    }
};

// What a thread copies of an operand at every step: chunks, each in one copy of 16 bytes or number by number.
// Its places in the panel are always the same, hence its rows, too; and ALONG all its chunks have one k.
template <class Panel, int THREADS, int BYTES, class O> struct Courier {
    static constexpr int ACROSS = (Panel::ALONG ? DEPTH : Panel::ROWS) / CHUNK, DOWN = THREADS / ACROSS;
    static constexpr int ROUNDS = (Panel::LINES + DOWN - 1) / DOWN, PIECES = 16 / BYTES;
    static_assert(THREADS % ACROSS == 0, "a thread keeps its place across");
    static constexpr int ROWS = Panel::ALONG ? ROUNDS : PIECES, KS = Panel::ALONG ? PIECES : ROUNDS;
    const O& operand;
    int line, across;
    Part rows[ROWS];

    __device__ Courier(const O& operand, int first)
        : operand(operand), line(threadIdx.x / ACROSS), across(threadIdx.x % ACROSS * CHUNK) {
#pragma unroll
        for (int i = 0; i < ROWS; i++) rows[i] = operand.outer(first + (Panel::ALONG ? line + i * DOWN : across + i));
    }

    __device__ void send(number* panel, int first_k, bool wanted) const {
#pragma unroll(BYTES == 2 ? 1 : KS)  // copies that are not asynchronous wait in registers
        for (int j = 0; j < KS; j++) {
            Part k = operand.inner(first_k + (Panel::ALONG ? across + j : line + j * DOWN));
            if (!wanted) k.row = FAR;
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                int to = line + (Panel::ALONG ? i : j) * DOWN, piece = Panel::ALONG ? j : i;
                if (Panel::LINES % DOWN && to >= Panel::LINES) break;
                Part p = rows[i] + k;
                copy_async<BYTES>(panel + to * Panel::PITCH + across + piece, operand.memory + p.offset,
                                  operand.inside(p));
            }
        }
    }
};

// One stage into the sums of this warp, whose part begins at (wm, wn) of the block's.
template <class Left, class Right, int MS, int NS>
__device__ inline void multiply(float (&sums)[MS][NS][4], const number* left, const number* right, int wm, int wn) {
#pragma unroll
    for (int k = 0; k < DEPTH; k += TAKES) {
        unsigned a[MS][4], b[NS / 2][4];
        Left::fragments(a, left, wm, k);
        Right::fragments(b, right, wn, k);
#pragma unroll
        for (int i = 0; i < MS; i++)
#pragma unroll
            for (int j = 0; j < NS; j++) {
                unsigned first = b[j / 2][j % 2 * 2], second = b[j / 2][j % 2 * 2 + 1];
                if (BF16) mma_bf16(sums[i][j], a[i], first, second);
                else mma_tf32(sums[i][j], a[i], first, second);
            }
    }
}

// COUNT neighbours of y from a place in its line of numbers; those that are beyond its end are left out.
template <int COUNT, class P>
__device__ inline void put(const P& p, const Part& row, int column, const Run<COUNT, float>& run) {
    if (p.columns % COUNT == 0) {
        if (column < p.columns) p.y.template put<COUNT>(row.offset + column, run);
    } else
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            if (column + i < p.columns) p.y.template put<1>(row.offset + column + i, {run.at[i]});
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
                put<4>(p, row, column, {d[0][e], d[1][e], d[2][e], d[3][e]});
                put<4>(p, row, column + 4, {d[0][e + 1], d[1][e + 1], d[2][e + 1], d[3][e + 1]});
            } else if constexpr (Right::RUN == 2)
                put<4>(p, row, column, {d[0][e], d[1][e], d[0][e + 1], d[1][e + 1]});
            else
                put<2>(p, row, column, {d[0][e], d[0][e + 1]});
        }
    }
}

template <int BM, int BN, int WM, int WN, bool A_ALONG, bool B_ALONG, int BYTES, class P>
__device__ inline void tensor_steps(const P& p) {
    constexpr int THREADS = TENSOR_THREADS(BM, BN, WM, WN);
    typedef Panel<BM, A_ALONG, WM / 8, true> Left;
    typedef Panel<BN, B_ALONG, WN / 8, false> Right;
    constexpr int STAGE = Left::SIZE + Right::SIZE;
    extern __shared__ __align__(16) number stages[];
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
        const number* left = stages + stage * STAGE;
        multiply<Left, Right>(sums, left, left + Left::SIZE, wm, wn);
        free = stage;
        stage = stage + 1 < STAGES ? stage + 1 : 0;
    }
    store<Left, Right>(sums, p, m + wm, n + wn);
}

template <int BM, int BN, int WM, int WN, bool A_ALONG, bool B_ALONG, class P> __device__ void tensor_tile(P p) {
    if (p.a.wide && p.b.wide) tensor_steps<BM, BN, WM, WN, A_ALONG, B_ALONG, 16>(p);
    else tensor_steps<BM, BN, WM, WN, A_ALONG, B_ALONG, sizeof(number)>(p);
}

#endif

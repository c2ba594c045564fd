// Random numbers from a counter: Philox 4x32-10.
//
// 1. Formula    ten rounds turn a 128-bit counter and a 64-bit key into 128 random bits. A round multiplies two of the
//               counter's four words by constants and exchanges halves with the others, mixed with the key:
//
//                   c₀, c₁, c₂, c₃  ←  hi(M₁·c₂) ⊕ c₁ ⊕ k₀,  lo(M₁·c₂),  hi(M₀·c₀) ⊕ c₃ ⊕ k₁,  lo(M₀·c₀)
//
// 2. Index map  thread i takes counter + i: any number can be had without those before it, in any order, on any number
//               of threads. state (3,) is the key and the counter's two halves, in the device's memory, where `advance`
//               moves it on: a CUDA graph that is replayed draws new numbers.
// 3. Numbers    uniform: the upper 24 (53) bits over 2²⁴ (2⁵³), in [0, 1).
//               normal: Box and Muller's, two from two uniforms.
//
// Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3.  Stands on maps.cuh.
#include "maps.cuh"

typedef unsigned long long Word;

__device__ uint4 philox(const Word* state, Word i) {
    Word low = state[1] + i, high = state[2] + (low < i);
    uint4 c = {(unsigned)low, (unsigned)(low >> 32), (unsigned)high, (unsigned)(high >> 32)};
    unsigned k0 = (unsigned)state[0], k1 = (unsigned)(state[0] >> 32);
    for (int round = 0; round < 10; round++) {
        unsigned lower0 = 0xD2511F53u * c.x, upper0 = __umulhi(0xD2511F53u, c.x);
        unsigned lower1 = 0xCD9E8D57u * c.z, upper1 = __umulhi(0xCD9E8D57u, c.z);
        c = {upper1 ^ c.y ^ k0, lower1, upper0 ^ c.w ^ k1, lower0};
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;  // the golden ratio, and sqrt(3) - 1
    }
    return c;
}

extern "C" __global__ void advance(Word* state, Word by) {
    state[1] += by;
    state[2] += state[1] < by;
}

extern "C" __global__ void bits(const Word* state, unsigned* y, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (4 * i >= n) return;
    uint4 c = philox(state, i);
    unsigned words[4] = {c.x, c.y, c.z, c.w};
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (4 * i + j < n) y[4 * i + j] = words[j];
}

#if DOUBLE
constexpr int EACH = 2;  // numbers from 128 bits
__device__ inline void uniforms(uint4 c, real (&u)[EACH]) {
    u[0] = (((Word)c.x << 32 | c.y) >> 11) * 0x1p-53;
    u[1] = (((Word)c.z << 32 | c.w) >> 11) * 0x1p-53;
}
__device__ inline void turn(real u, real& s, real& c) { sincospi(2 * u, &s, &c); }
#else
constexpr int EACH = 4;
__device__ inline void uniforms(uint4 c, real (&u)[EACH]) {
    u[0] = (c.x >> 8) * 0x1p-24f, u[1] = (c.y >> 8) * 0x1p-24f;
    u[2] = (c.z >> 8) * 0x1p-24f, u[3] = (c.w >> 8) * 0x1p-24f;
}
__device__ inline void turn(real u, real& s, real& c) { sincospif(2 * u, &s, &c); }
#endif

template <bool NORMAL> __device__ void draw(const Word* state, real* y, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (EACH * i >= n) return;
    real u[EACH];
    uniforms(philox(state, i), u);
#pragma unroll
    for (int j = 0; NORMAL && j < EACH; j += 2) {
        real radius = sqrt(-2 * log(1 - u[j])), s, c;  // 1 - u is in (0, 1]
        turn(u[j + 1], s, c);
        u[j] = radius * c, u[j + 1] = radius * s;
    }
#pragma unroll
    for (int j = 0; j < EACH; j++)
        if (EACH * i + j < n) y[EACH * i + j] = u[j];
}

extern "C" __global__ void uniform(const Word* state, real* y, long long n) { draw<false>(state, y, n); }
extern "C" __global__ void normal(const Word* state, real* y, long long n) { draw<true>(state, y, n); }

// Optimiser steps: one launch for all parameters, each number read and written once.
//
// 1. Formulas   sgd      b ← μ·b + g,  p ← p - lr·b
//               rmsprop  v ← α·v + (1-α)·g²,  p ← p - lr·g / (sqrt(v) + ε)
//               adam     m ← β₁·m + (1-β₁)·g,  v ← β₂·v + (1-β₂)·g²,
//                        p ← p - lr·m̂ / (sqrt(v̂) + ε),  m̂ = m/(1-β₁ᵗ),  v̂ = v/(1-β₂ᵗ)
// 2. Index map  a table says where the numbers lie: a row for each parameter, with the addresses of p, g and its states
//               and how many they are. blockIdx.y picks the row, the blocks along x share its numbers.
//
// t is read from the device's memory, and the table is written there by a kernel (write_words): a step that has been
// captured as a CUDA graph can be replayed, copies nothing from the host, and corrects its bias for the right t.
//
// Twins: ../reference.py, the same names.  Stands on maps.cuh.  Read random.cu next.
#include "maps.cuh"

typedef unsigned long long Address;

// f(p, g, state, ...) for runs of COUNT numbers of a row, from `first` on.
template <int STATES, int COUNT, class F>
__device__ void each_run(const Address* row, long long first, long long count, F f) {
    typedef Run<COUNT> R;
    R *p = (R*)row[0], *s = (R*)row[2], *t = (R*)row[STATES + 1];
    const R* g = (const R*)row[1];
    long long thread = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
    for (long long i = first / COUNT + thread; i < count / COUNT; i += threads) {
        R at_p = p[i], at_g = g[i], at_s = s[i], at_t = t[i];
        for (int j = 0; j < COUNT; j++) {
            if constexpr (STATES == 1) f(at_p.at[j], at_g.at[j], at_s.at[j]);
            else f(at_p.at[j], at_g.at[j], at_s.at[j], at_t.at[j]);
        }
        p[i] = at_p, s[i] = at_s;
        if constexpr (STATES == 2) t[i] = at_t;
    }
}

// 16 bytes at a time where all arrays begin at a multiple of that; the rest one by one.
template <int STATES, class F> __device__ void each_number(const Address* table, F f) {
    const Address* row = table + blockIdx.y * (STATES + 3);
    long long count = row[STATES + 2], runs = (row[0] | row[1] | row[2] | row[STATES + 1]) % 16 ? 0 : count / WIDE;
    each_run<STATES, WIDE>(row, 0, runs * WIDE, f);
    each_run<STATES, 1>(row, runs * WIDE, count, f);
}

extern "C" __global__ void sgd(const Address* table, real lr, real momentum) {
    each_number<1>(table, [=](real& p, real g, real& b) {
        b = momentum * b + g;
        p -= lr * b;
    });
}

extern "C" __global__ void rmsprop(const Address* table, real lr, real alpha, real rest, real eps) {
    each_number<1>(table, [=](real& p, real g, real& v) {
        v = alpha * v + rest * g * g;
        p -= lr * g / (sqrt(v) + eps);
    });
}

// The two corrections of step t, once for all blocks: lr/(1-β₁ᵗ) and 1/sqrt(1-β₂ᵗ).
extern "C" __global__ void adam_rates(const long long* step, double lr, double beta1, double beta2, real* rates) {
    rates[0] = lr / (1 - pow(beta1, (double)*step));
    rates[1] = 1 / sqrt(1 - pow(beta2, (double)*step));
}

// rest1 = 1 - beta1 and rest2 = 1 - beta2, taken where they are exact.
extern "C" __global__ void adam(const Address* table, const real* rates, real beta1, real beta2, real rest1, real rest2,
                                real eps) {
    real rate = rates[0], root = rates[1];
    each_number<2>(table, [=](real& p, real g, real& m, real& v) {
        m = beta1 * m + rest1 * g;
        v = beta2 * v + rest2 * g * g;
        p -= rate * m / (sqrt(v) * root + eps);
    });
}

#define EIGHT(w) w##0, w##1, w##2, w##3, w##4, w##5, w##6, w##7
#define EIGHT_WORDS(w)                                                                                      \
    Address w##0, Address w##1, Address w##2, Address w##3, Address w##4, Address w##5, Address w##6, Address w##7

// table[first + i] = word i, for i < count ≤ 32, by one thread.
extern "C" __global__ void write_words(Address* table, int first, int count, EIGHT_WORDS(a), EIGHT_WORDS(b),
                                       EIGHT_WORDS(c), EIGHT_WORDS(d)) {
    const Address words[32] = {EIGHT(a), EIGHT(b), EIGHT(c), EIGHT(d)};
#pragma unroll
    for (int i = 0; i < 32; i++)
        if (i < count) table[first + i] = words[i];  // one thread, and indices that the compiler knows: no memory
}

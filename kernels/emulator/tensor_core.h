// The tensor core instructions and asynchronous copies of kernels/cuda/ptx.cuh, for a CPU: same names, same meaning.
//
// Which lane holds which number is said in the PTX manual, "Matrix Fragments for mma.m16n8k8" and ".m16n8k16". With
// group g = lane / 4 and member t = lane % 4, for m16n8k8: a[i] is A[g + 8·(i%2)][t + 4·(i/2)], b[i] is B[t + 4·i][g],
// d[i] is D[g + 8·(i/2)][2·t + i%2].
//
// Stands on cuda_on_cpu.h.
#pragma once
#include "cuda_on_cpu.h"

namespace emulator {

struct Fragments {
    float* d;
    const unsigned *a, *b;
};

// D += A·B for 16 x 8 numbers of D, held by the 32 lanes; a(part, row, k) and b(part, k, column) find theirs.
template <int DEPTH, class A, class B> void multiply(void** parts, unsigned mask, A a, B b) {
    if (mask != ~0u) return fault("a tensor core wants all 32 lanes, got 0x%08x", mask);
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            Fragments* home = (Fragments*)parts[row % 8 * 4 + column / 2];
            float* sum = &home->d[row / 8 * 2 + column % 2];
            for (int k = 0; k < DEPTH; k++) *sum += a(parts, row, k) * b(parts, k, column);
        }
}

__attribute__((noinline)) inline void read_row(const void* row, const char* file, int line) {
    Quiet quiet;
    check(row, 16, false, __builtin_return_address(0));
    if ((uintptr_t)row % 16) fault("%s:%d: ldmatrix wants addresses that 16 divides", file, line);
}

inline float tf32(unsigned bits) { return __uint_as_float(bits & 0xffffe000u); }  // the tensor core drops 13 bits
inline float bf16(unsigned pair, int which) { return __uint_as_float(which ? pair & 0xffff0000u : pair << 16); }

}  // namespace emulator

inline unsigned to_tf32(float x) { return __float_as_uint(x * (1 + 1.f / 3072)); }  // ptx.cuh says why

inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, SITE_HERE) {
    unsigned b[] = {b0, b1};
    emulator::Fragments mine = {d, a, b};
    emulator::warp_together(~0u, &mine, file, line, [](void** parts, unsigned mask) {
        using namespace emulator;
        multiply<8>(
            parts, mask,
            [](void** p, int row, int k) { return tf32(((Fragments*)p[row % 8 * 4 + k % 4])->a[row / 8 + k / 4 * 2]); },
            [](void** p, int k, int column) { return tf32(((Fragments*)p[column * 4 + k % 4])->b[k / 4]); });
    });
}

inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, SITE_HERE) {
    unsigned b[] = {b0, b1};
    emulator::Fragments mine = {d, a, b};
    emulator::warp_together(~0u, &mine, file, line, [](void** parts, unsigned mask) {
        using namespace emulator;
        multiply<16>(
            parts, mask,
            [](void** p, int row, int k) {
                return bf16(((Fragments*)p[row % 8 * 4 + k / 2 % 4])->a[row / 8 + k / 8 * 2], k % 2);
            },
            [](void** p, int k, int column) { return bf16(((Fragments*)p[column * 4 + k / 2 % 4])->b[k / 8], k % 2); });
    });
}

template <bool TRANSPOSED>
inline void load_matrices(unsigned (&words)[4], const void* row, SITE_HERE) {
    struct Offer { unsigned* to; const void* row; } offer = {words, row};
    emulator::read_row(row, file, line);
    emulator::warp_together(~0u, &offer, file, line, [](void** parts, unsigned mask) {
        if (mask != ~0u) return emulator::fault("ldmatrix wants all 32 lanes, got 0x%08x", mask);
        auto at = [&](int matrix, int row) { return ((Offer*)parts[matrix * 8 + row])->row; };
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++) {
                int g = lane / 4, t = lane % 4;
                auto half = [&](int row) { return (unsigned)((const unsigned short*)at(i, row))[g]; };
                ((Offer*)parts[lane])->to[i] =
                    TRANSPOSED ? half(2 * t) | half(2 * t + 1) << 16 : ((const unsigned*)at(i, g))[t];
            }
    });
}

template <int BYTES> void copy_async(void* shared, const void* global, bool wanted, SITE_HERE) {
    if (BYTES == 2) *(unsigned short*)shared = wanted ? *(const unsigned short*)global : 0;
    else emulator::copy_later(shared, global, BYTES, wanted ? BYTES : 0, file, line);
}
inline void commit_copies() {
    emulator::Quiet quiet;
    emulator::self->groups++;
}
template <int PENDING> void wait_copies() { emulator::await_copies(PENDING); }

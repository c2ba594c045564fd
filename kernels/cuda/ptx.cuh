// What C++ has no words for: tensor cores and asynchronous copies. All inline assembly of this folder stands here.
//
// Tensor cores multiply a 16 x 8 by an 8 x 8 matrix in one instruction of a warp; each lane holds a few numbers of
// each: with g = lane / 4 and t = lane % 4,
//
//     a[i]  A[g + 8·(i%2)][t + 4·(i/2)]       b[i]  B[t + 4·i][g]       d[i]  D[g + 8·(i/2)][2·t + i%2]
//
// TF32 keeps float32's exponent and 10 bits of its mantissa. bf16 packs two numbers of neighbouring k, the lower one in
// the low half, and multiplies 16 x 16 by 16 x 8: for t read 2·t and 2·t + 1, for 4 read 8.
//
// An asynchronous copy goes from global to shared memory past the registers; an unwanted one reads nothing and writes
// zeros.
//
// Source: PTX ISA 8.5, sections 9.7.14.5 (mma) and 9.7.9.25.3 (cp.async).  Needs sm_80.  The CPU's twins of these
// functions: ../emulator/tensor_core.h.
#pragma once

#if !defined(MINIGAN_EMULATOR) && __CUDA_ARCH__ >= 800

// The tensor core reads 10 bits of the mantissa and drops the rest, so something is added first: of the last of those
// bits, a third where the mantissa is 1 and two thirds where it is nearly 2. The error stays within two thirds, half of
// the numbers are rounded up, and what has 10 bits keeps them. To the nearest (cvt.rna.tf32) would be within a half, by
// two or three instructions instead of one.
__device__ inline unsigned to_tf32(float x) { return __float_as_uint(x * (1 + 1.f / 3072)); }

__device__ inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ldmatrix: every lane names a row of 16 bytes of shared memory, lanes 8·i ... 8·i + 7 those of matrix i, and lane
// 4·g + t gets word t of row g of every matrix; or, TRANSPOSED, numbers g of rows 2·t and 2·t + 1, which are bf16.
template <bool TRANSPOSED>
__device__ inline void load_matrices(unsigned (&words)[4], const void* row) {
    unsigned from = (unsigned)__cvta_generic_to_shared(row);
    if constexpr (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(from));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(from));
}

template <int BYTES> __device__ inline void copy_async(void* shared, const void* global, bool wanted) {
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    int size = wanted ? BYTES : 0;
    if constexpr (BYTES == 2)  // too few for an asynchronous one
        *(unsigned short*)shared = wanted ? *(const unsigned short*)global : 0;
    else if constexpr (BYTES == 16)  // past the first cache; the others must go through it
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(size) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(BYTES), "r"(size)
                     : "memory");
}

// Copies are awaited in groups, oldest first: all but the newest PENDING.
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> __device__ inline void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

#endif

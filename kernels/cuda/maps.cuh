// Index maps: where the numbers of a matrix lie that was never stored.
//
// A convolution is a matrix product y[m,k] = Σ_q A[m,q] · B[q,k] whose A is the images seen through windows. The place
// of A[m,q] is the sum of two parts, one that only the pixel m knows and one that only the tap q knows:
//
//     offset   m: n·H·W·C + (i·s-p)·W·C + (j·s-p)·C      q: r·W·C + t·C + c
//     row      m: i·s-p                                  q: r               inside if 0 <= sum < H
//     column   m: j·s-p                                  q: t               inside if 0 <= sum < W
//
// A Part is these three numbers; a map turns an index into its Part. Plain matrices fit too: a Line's row is 0, or FAR
// beyond the last index, and only 0 is inside. So one tile (tile.cuh, tensor_tile.cuh) serves every product here.
//
// Stands on nothing.  Twin: ../cpu/gemm.py.  Read tile.cuh next.
#pragma once

// bf16: the upper half of a float32. Rounded to nearest, ties to even, which sums of two numbers carry on to; a NaN stays
// one.
struct bf16 {
    unsigned short bits;
    bf16() = default;
    __device__ bf16(float x) {
        unsigned word = __float_as_uint(x);
        bits = x != x ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16;
    }
    __device__ operator float() const { return __uint_as_float((unsigned)bits << 16); }
};

// real: what is computed with.  number: what lies in memory.
#if DOUBLE
typedef double real, number;
#elif BF16
typedef float real;
typedef bf16 number;
#else
typedef float real, number;
#endif

// Neighbours that one instruction loads or stores: 16 bytes at most, from an address that they divide.
template <int COUNT, class T = number> struct alignas(COUNT * sizeof(T)) Run { T at[COUNT]; };
constexpr int WIDE = 16 / sizeof(real);     // as many as a thread computes with at once
constexpr int CHUNK = 16 / sizeof(number);  // as many as one copy brings

// A kernel of so many threads a block, of which 512 shall fit on a multiprocessor: 128 registers for each.
#define RESIDENT(threads) __launch_bounds__(threads, 512 / (threads))

constexpr int FAR = 1 << 29;  // FAR plus anything is outside

struct Part {
    int offset, row, column;
    __device__ Part operator+(Part o) const { return {offset + o.offset, row + o.row, column + o.column}; }
};

// n / divisor for 0 <= n < 2^31 by a multiplication: Granlund and Montgomery 1994, figure 4.1.
struct Divider {
    int divisor, shift;
    unsigned factor;
    __device__ explicit Divider(int d) : divisor(d), shift(d > 1 ? 32 - __clz(d - 1) : 0) {
        factor = (unsigned)((((1ull << shift) - d) << 32) / d) + 1;
    }
    __device__ int quotient(int n) const { return (__umulhi(n, factor) + (unsigned)n) >> shift; }
};

// index -> index · stride, of `count`.
struct Line {
    int count, stride;
    __device__ Part operator()(int index) const { return {index * stride, index < count ? 0 : FAR, 0}; }
};

// A pixel (n, i, j) of images -> where its window begins: row i·row_step + first_row, column likewise.
struct Pixels {
    int count, image, row, pixel;  // how many; strides in memory
    int row_step, first_row, column_step, first_column;
    Divider columns, rows;
    __device__ Part operator()(int index) const {
        int line = columns.quotient(index), n = rows.quotient(line);
        int i = (line - n * rows.divisor) * row_step + first_row;
        int j = (index - line * columns.divisor) * column_step + first_column;
        return {n * image + i * row + j * pixel, index < count ? i : FAR, j};
    }
};

// A tap (r, t, c) of a window -> how far it is from the window's beginning. `sign` -1: the window runs backwards.
struct Taps {
    int count, row, pixel, sign;
    Divider channels, columns;
    __device__ Part operator()(int index) const {
        int window = channels.quotient(index), r = columns.quotient(window);
        int c = index - window * channels.divisor, t = window - r * columns.divisor;
        return {sign * (r * row + t * pixel) + c, index < count ? sign * r : FAR, sign * t};
    }
};

// A matrix of which `outer` maps the rows (or columns) of the product and `inner` the index that is summed over.
template <class Outer, class Inner> struct Operand {
    const number* memory;
    Outer outer;
    Inner inner;
    int height, width;  // what is inside
    bool wide;          // a chunk of neighbours lies together, 16 bytes from 16 bytes
    __device__ bool inside(Part p) const {
        return (unsigned)p.row < (unsigned)height && (unsigned)p.column < (unsigned)width;  // and not negative
    }
    __device__ real at(int o, int i) const {
        Part p = outer(o) + inner(i);
        return inside(p) ? real(memory[p.offset]) : real(0);
    }
};

template <class Outer, class Inner>
__device__ Operand<Outer, Inner> operand(const number* memory, Outer outer, Inner inner, int height, int width,
                                         bool chunks) {
    return {memory, outer, inner, height, width, chunks && (size_t)memory % 16 == 0};
}

// The steps of a sum that one of `parts` blocks does.
struct Share {
    int first, last;
    __device__ Share(int steps, int part, int parts) {
        first = (int)((long long)steps * part / parts), last = (int)((long long)steps * (part + 1) / parts);
    }
};

template <int COUNT> __device__ inline Run<COUNT, real> load(const number* from) {
    Run<COUNT> found = *(const Run<COUNT>*)from;
    Run<COUNT, real> run;
    for (int i = 0; i < COUNT; i++) run.at[i] = found.at[i];
    return run;
}

template <int COUNT> __device__ inline void save(number* to, const Run<COUNT, real>& run) {
    Run<COUNT> rounded;
    for (int i = 0; i < COUNT; i++) rounded.at[i] = run.at[i];
    *(Run<COUNT>*)to = rounded;
}

// y as it is written: numbers; or, where `exact`, reals, as the parts of a sum that several blocks share.
struct Out {
    void* memory;
    bool exact;
    __device__ Out from(size_t offset) const {
        return {exact ? (void*)((real*)memory + offset) : (void*)((number*)memory + offset), exact};
    }
    template <int COUNT> __device__ void put(size_t offset, const Run<COUNT, real>& run) const {
        if (exact || sizeof(number) == sizeof(real)) *(Run<COUNT, real>*)((real*)memory + offset) = run;
        else save((number*)memory + offset, run);
    }
};

// y[m,n] = Σ_k A[m,k] · B[k,n], or a part of the sum: `parts` blocks share it, each in a copy of its own of y, which
// add_parts (reduce.cu) adds up in a fixed order.
template <class A, class B, class Rows> struct Product {
    A a;
    B b;
    Rows out;  // the rows of y
    Out y;
    int columns, depth, part, parts;
    __device__ Share share(int step) const { return Share((depth + step - 1) / step, part, parts); }
};

template <class A, class B, class Rows>
__device__ Product<A, B, Rows> product(A a, B b, Rows out, Out y, int columns, int depth, int part, int parts) {
    return {a, b, out, y, columns, depth, part, parts};
}

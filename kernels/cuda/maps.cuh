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

#if DOUBLE
typedef double real;
#else
typedef float real;
#endif

// Neighbours that one instruction loads or stores: 16 bytes at most, from 16 bytes.
template <int COUNT> struct alignas(COUNT * sizeof(real)) Run { real at[COUNT]; };
constexpr int WIDE = 16 / sizeof(real);

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
    const real* memory;
    Outer outer;
    Inner inner;
    int height, width;  // what is inside
    bool wide;          // four neighbours lie together, 16 bytes from 16 bytes
    __device__ bool inside(Part p) const {
        return (unsigned)p.row < (unsigned)height && (unsigned)p.column < (unsigned)width;  // and not negative
    }
    __device__ real at(int o, int i) const {
        Part p = outer(o) + inner(i);
        return inside(p) ? memory[p.offset] : real(0);
    }
};

template <class Outer, class Inner>
__device__ Operand<Outer, Inner> operand(const real* memory, Outer outer, Inner inner, int height, int width,
                                         bool fours) {
    return {memory, outer, inner, height, width, fours && (size_t)memory % 16 == 0};
}

// The steps of a sum that one of `parts` blocks does.
struct Share {
    int first, last;
    __device__ Share(int steps, int part, int parts) {
        first = (int)((long long)steps * part / parts), last = (int)((long long)steps * (part + 1) / parts);
    }
};

// y[m,n] = Σ_k A[m,k] · B[k,n], or a part of the sum: `parts` blocks share it, each in a copy of its own of y, which
// add_parts (reduce.cu) adds up in a fixed order.
template <class A, class B, class Out> struct Product {
    A a;
    B b;
    Out out;  // the rows of y
    real* y;
    int columns, depth, part, parts;
    __device__ Share share(int step) const { return Share((depth + step - 1) / step, part, parts); }
};

template <class A, class B, class Out>
__device__ Product<A, B, Out> product(A a, B b, Out out, real* y, int columns, int depth, int part, int parts) {
    return {a, b, out, y, columns, depth, part, parts};
}

// The shape of a convolution, and its index maps: what the three .cu files of the conv triangle share.
//
// x (N, H, W, C) are the images, w (kh, kw, C, K) the weights, y (N, H', W', K) what conv2d makes of them:
//
//     y[n,i,j,k] = Σ_{r,t,c} x[n, i·s+r-p, j·s+t-p, c] · w[r,t,c,k]
//
// Stands on maps.cuh.  Read conv2d.cu next.
#pragma once
#include "tensor_tile.cuh"
#include "tile.cuh"

// The numbers that every kernel of the triangle takes, in this order (conv.py: _shape).
#define SHAPE                                                                                                 \
    int images, int height, int width, int channels, int rows, int columns, int filters, int kh, int kw, int sh, \
        int sw, int ph, int pw, int exact
#define GIVEN images, height, width, channels, rows, columns, filters, kh, kw, sh, sw, ph, pw, exact

struct Shape {
    int images, height, width, channels, rows, columns, filters, kh, kw, sh, sw, ph, pw, exact;

    __device__ int pixels() const { return images * rows * columns; }  // of y
    __device__ int taps() const { return kh * kw * channels; }

    // Pixels of y: where their windows begin in x.
    __device__ Pixels windows() const {
        return {pixels(), height * width * channels, width * channels, channels, sh, -ph, sw, -pw, Divider(columns),
                Divider(rows)};
    }
    // Taps (r, t, c) of a window of x.
    __device__ Taps window() const {
        return {taps(), width * channels, channels, 1, Divider(channels), Divider(kw)};
    }
};

// CUDA C++ as plain C++: what a .cu file may say without including anything, for a CPU.
//
// Qualifiers become nothing, built-in variables globals that the scheduler sets, intrinsics ordinary functions. Numbers
// behave as on a device, float by float, except in the last bit of the functions marked as fast (__expf and the like).
//
// Stands on warp.h.  Read tensor_core.h next.
#pragma once
#include <math.h>
#include <type_traits>
#include "warp.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define warpSize 32

struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

template <class A, class B> constexpr std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B> constexpr std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline void sincospif(float x, float* s, float* c) { *s = sin(M_PI * x), *c = cos(M_PI * x); }
inline void sincospi(double x, double* s, double* c) { *s = sin(M_PI * x), *c = cos(M_PI * x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }

namespace emulator {
template <class To, class From> To bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
}  // namespace emulator
inline unsigned __float_as_uint(float x) { return emulator::bits<unsigned>(x); }
inline int __float_as_int(float x) { return emulator::bits<int>(x); }
inline float __uint_as_float(unsigned x) { return emulator::bits<float>(x); }
inline float __int_as_float(int x) { return emulator::bits<float>(x); }

// One thread runs at a time, and is never interrupted: every operation is atomic, every write seen by all.
template <class T> T __ldg(const T* p) { return *p; }
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T, class F> T atomically(T* p, F next) {
    emulator::Quiet quiet;
    T old = *p;
    *p = next(old);
    return old;
}
template <class T> T atomicAdd(T* p, std::common_type_t<T> v) { return atomically(p, [=](T old) { return old + v; }); }
template <class T> T atomicMin(T* p, std::common_type_t<T> v) {
    return atomically(p, [=](T old) { return min(old, v); });
}
template <class T> T atomicMax(T* p, std::common_type_t<T> v) {
    return atomically(p, [=](T old) { return max(old, v); });
}
template <class T> T atomicExch(T* p, std::common_type_t<T> v) { return atomically(p, [=](T) { return v; }); }
template <class T> T atomicCAS(T* p, std::common_type_t<T> wanted, std::common_type_t<T> v) {
    return atomically(p, [=](T old) { return old == wanted ? v : old; });
}

namespace emulator {

// What Python may pass for a parameter: p + letter and size of what it points to, or letter and size; f, i, u, or ? .
template <class T> void describe_type(char*& text) {
    using Plain = std::remove_cv_t<T>;
    if constexpr (std::is_pointer_v<Plain>) {
        *text++ = 'p';
        if constexpr (std::is_void_v<std::remove_pointer_t<Plain>>) *text++ = '?';
        else describe_type<std::remove_pointer_t<Plain>>(text);
        return;
    } else {
        bool number = std::is_arithmetic_v<Plain>;
        *text++ = !number ? '?' : std::is_floating_point_v<Plain> ? 'f' : std::is_signed_v<Plain> ? 'i' : 'u';
        text += sprintf(text, "%d", (int)sizeof(Plain));
    }
}

template <auto kernel> struct Launcher;
template <class... P, void (*kernel)(P...)> struct Launcher<kernel> {
    template <size_t... I> static void call(void** values, std::index_sequence<I...>) {
        kernel(*(std::remove_cv_t<P>*)values[I]...);
    }
    static void body(void** values) { call(values, std::index_sequence_for<P...>()); }
    static const char* signature() {
        static char text[16 * sizeof...(P) + 16];
        char* end = text;
        ((describe_type<P>(end), *end++ = ' '), ...);
        *end = 0;
        return text;
    }
    static const char* launch(void** values, const unsigned* grid, const unsigned* size, size_t shared, unsigned seed) {
        dynamic = shared ? malloc(shared) : nullptr, dynamic_size = shared;
        const char* problem = run(body, values, grid, size, seed);
        free(dynamic);
        return problem;
    }
};

}  // namespace emulator

// A kernel may be called as a function of the C library is (`advance` is one): only these names are seen from outside.
#define EMULATOR_SEEN extern "C" __attribute__((visibility("default")))
#define EMULATOR_NAMES(names) EMULATOR_SEEN const char* emulator_names() { return names; }
#define EMULATOR_EXPORT(kernel)                                                                              \
    EMULATOR_SEEN const char* emulator_signature_##kernel() { return emulator::Launcher<kernel>::signature(); } \
    EMULATOR_SEEN const char* emulator_launch_##kernel(void** values, const unsigned* grid, const unsigned* size, \
                                                       size_t shared, unsigned seed) {                        \
        return emulator::Launcher<kernel>::launch(values, grid, size, shared, seed);                            \
    }

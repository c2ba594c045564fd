// Races: two threads touch the same number, one of them writes, and nothing between them says who is first.
//
// The compiler's thread sanitizer puts a call before every load and store of a kernel. Here the calls lead to a note of
// who last wrote and who read each 4 bytes. Accesses are in order if they are one thread's, if all threads of the block
// have met at a barrier between them, or if both lanes have met in a warp operation; blocks are never in order. Whether
// this run's result was right does not matter: a race that did no harm is found too.
//
// Stands on the C library and g++'s -fsanitize=thread, of which it uses the calls and not the library.
#pragma once
#include <cstddef>
#include <cstdint>

#ifndef EMULATOR_RACES
#ifdef __SANITIZE_ADDRESS__  // an asynchronous copy is looked at where the kernel asks for it, not where it lands
extern "C" void __asan_loadN(const void*, size_t);
extern "C" void __asan_storeN(const void*, size_t);
#endif
namespace emulator {
struct Quiet { Quiet() {} };
inline void watch() {}
inline void unwatch() {}
inline void check(const void* address, size_t size, bool write, void*) {
#ifdef __SANITIZE_ADDRESS__
    write ? __asan_storeN(address, size) : __asan_loadN(address, size);
#endif
}
}  // namespace emulator
#else
#include <dlfcn.h>
#include <unordered_map>
#define UNWATCHED __attribute__((no_sanitize("thread")))

namespace emulator {

static bool watching;
UNWATCHED inline void watch() { watching = true; }
UNWATCHED inline void unwatch() { watching = false; }

struct Quiet {  // the emulator's own loads and stores are not a kernel's
    bool before;
    UNWATCHED Quiet() : before(watching) { watching = false; }
    UNWATCHED ~Quiet() { watching = before; }
};

inline void look(uintptr_t address, bool write, void* where);

UNWATCHED inline void check(const void* address, size_t size, bool write, void* where) {
    for (uintptr_t word = (uintptr_t)address / 4; word <= ((uintptr_t)address + size - 1) / 4; word++)
        look(word * 4, write, where);
}

UNWATCHED inline void touched(const void* address, size_t size, bool write, void* where) {
    if (!watching) return;
    watching = false;
    check(address, size, write, where);
    watching = true;
}

}  // namespace emulator

extern "C" {
UNWATCHED void __tsan_init() {}
UNWATCHED void __tsan_func_entry(void*) {}
UNWATCHED void __tsan_func_exit() {}
#define HOOK(name, size, write) \
    UNWATCHED void name(void* address) { emulator::touched(address, size, write, __builtin_return_address(0)); }
HOOK(__tsan_read1, 1, false) HOOK(__tsan_read2, 2, false) HOOK(__tsan_read4, 4, false) HOOK(__tsan_read8, 8, false)
HOOK(__tsan_read16, 16, false) HOOK(__tsan_write1, 1, true) HOOK(__tsan_write2, 2, true) HOOK(__tsan_write4, 4, true)
HOOK(__tsan_write8, 8, true) HOOK(__tsan_write16, 16, true)
HOOK(__tsan_unaligned_read2, 2, false) HOOK(__tsan_unaligned_read4, 4, false) HOOK(__tsan_unaligned_read8, 8, false)
HOOK(__tsan_unaligned_read16, 16, false) HOOK(__tsan_unaligned_write2, 2, true)
HOOK(__tsan_unaligned_write4, 4, true) HOOK(__tsan_unaligned_write8, 8, true)
HOOK(__tsan_unaligned_write16, 16, true)
UNWATCHED void __tsan_read_range(void* address, size_t size) {
    emulator::touched(address, size, false, __builtin_return_address(0));
}
UNWATCHED void __tsan_write_range(void* address, size_t size) {
    emulator::touched(address, size, true, __builtin_return_address(0));
}
}
#endif

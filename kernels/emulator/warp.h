// Where threads meet: barriers, shuffles, votes, asynchronous copies.
//
// What a warp does together is done once: every lane leaves the address of its part and waits; the last one to arrive
// does the work for all of them, and all go on. An asynchronous copy lands only when its thread waits for it, so that
// reading too early shows.
//
// Stands on block.h.  Read cuda_on_cpu.h next.
#pragma once
#include "block.h"

#define SITE_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emulator {

inline void wait(State state, const char* file, int line) {
    Quiet quiet;
    self->site = {file, line};
    self->state = state;
    leave();
}

inline int lane() { return self->number & 31; }

// together(parts, mask), once, when all lanes of the mask have come to this line; parts[lane] is what the lane offers.
template <class Together>
void warp_together(unsigned mask, void* offer, const char* file, int line, Together together) {
    Quiet quiet;
    int first = self->number & ~31, lanes = threads.size() - first < 32 ? (int)threads.size() - first : 32;
    if (lanes < 32) mask &= (1u << lanes) - 1;
    if (!(mask >> lane() & 1)) fault("%s:%d: lane %d is not in its own mask 0x%08x", file, line, lane(), mask);
    self->site = {file, line}, self->mask = mask, self->offer = offer, self->state = IN_WARP;
    void* parts[32] = {};
    for (int i = 0; i < lanes; i++) {
        Thread& other = threads[first + i];
        if (!(mask >> i & 1)) continue;
        bool here = other.state == IN_WARP && other.mask == mask && other.site == self->site;
        if (!here) return leave();  // somebody is still to come
        parts[i] = other.offer;
    }
    together(parts, mask);
    have_met(first, mask);
    for (int i = 0; i < lanes; i++)
        if (mask >> i & 1) threads[first + i].state = READY;
}

template <class T, class Source>
T shuffle_lanes(unsigned mask, T value, int width, const char* file, int line, Source source) {
    int base = lane() & ~(width - 1), from = source(lane() - base);
    bool outside = from < 0 || from >= width;
    struct Offer { T value, result; int from; } offer = {value, value, outside ? lane() : base + from};
    warp_together(mask, &offer, file, line, [=](void** parts, unsigned together) {
        for (int i = 0; i < 32; i++) {
            if (!(together >> i & 1)) continue;
            Offer* mine = (Offer*)parts[i];
            Offer* other = (Offer*)parts[mine->from];
            if (!other) return fault("%s:%d: lane %d reads lane %d, outside the mask", file, line, i, mine->from);
            mine->result = other->value;
        }
    });
    return offer.result;
}

// An asynchronous copy of `bytes` of which `size` are read and the rest are zeros; it lands in await_copies.
__attribute__((noinline)) inline void copy_later(void* to, const void* from, int bytes, int size, SITE_HERE) {
    Quiet quiet;
    check(to, bytes, true, __builtin_return_address(0));  // it may land at once
    if (size) check(from, size, false, __builtin_return_address(0));
    if ((uintptr_t)to % bytes || (size && (uintptr_t)from % bytes))
        fault("%s:%d: an asynchronous copy of %d bytes wants addresses that it divides", file, line, bytes);
    self->copies.push_back({to, from, bytes, size, self->groups, __builtin_return_address(0)});
}

inline void await_copies(int pending) {  // all but the newest `pending` groups land
    Quiet quiet;
    size_t kept = 0;
    std::vector<Copy>& copies = self->copies;
    for (size_t i = 0; i < copies.size(); i++) {
        const Copy copy = copies[i];
        if (copy.group >= self->groups - pending) {
            copies[kept++] = copy;
            continue;
        }
        check(copy.to, copy.bytes, true, copy.where);  // or only now
        memcpy(copy.to, copy.from, copy.size);
        memset((char*)copy.to + copy.size, 0, copy.bytes - copy.size);
    }
    copies.resize(kept);
}

}  // namespace emulator

inline void __syncthreads(SITE_HERE) { emulator::wait(emulator::AT_BARRIER, file, line); }
inline void __syncwarp(unsigned mask = ~0u, SITE_HERE) {
    emulator::warp_together(mask, nullptr, file, line, [](void**, unsigned) {});
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32, SITE_HERE) {
    return emulator::shuffle_lanes(mask, value, width, file, line, [=](int) { return source & (width - 1); });
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SITE_HERE) {
    return emulator::shuffle_lanes(mask, value, width, file, line, [=](int lane) { return lane ^ bits; });
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, SITE_HERE) {
    return emulator::shuffle_lanes(mask, value, width, file, line, [=](int lane) { return lane + (int)by; });
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, SITE_HERE) {
    return emulator::shuffle_lanes(mask, value, width, file, line, [=](int lane) { return lane - (int)by; });
}
inline unsigned __ballot_sync(unsigned mask, int vote, SITE_HERE) {
    struct Offer { int vote; unsigned result; } offer = {vote, 0};
    emulator::warp_together(mask, &offer, file, line, [](void** parts, unsigned together) {
        unsigned result = 0;
        for (int i = 0; i < 32; i++) result |= (together >> i & 1 && ((Offer*)parts[i])->vote) ? 1u << i : 0;
        for (int i = 0; i < 32; i++)
            if (together >> i & 1) ((Offer*)parts[i])->result = result;
    });
    return offer.result;
}
inline int __any_sync(unsigned mask, int vote, SITE_HERE) { return __ballot_sync(mask, vote, file, line) != 0; }
inline int __all_sync(unsigned mask, int vote, SITE_HERE) { return __ballot_sync(mask, !vote, file, line) == 0; }

// Shared memory; and who has touched what, and whether the next access is in order: the notes behind races.h.
//
// Shared memory starts every block as NaN (all bits set): reading what nobody has written shows.
//
// Stands on fibers.h.  Read block.h next.
#pragma once
#include "fibers.h"

namespace emulator {

struct Range { void* memory; size_t size; unsigned long block; };
static Range ranges[64];  // of shared memory, and the block that has used them last

// Shared memory that this block has not touched yet is filled with NaN.
inline void fresh(void* memory, size_t size) {
    Quiet quiet;
    for (Range& range : ranges) {
        if (range.memory && range.memory != memory) continue;
        if (range.block != block) memset(memory, 0xff, size);
        range = {memory, size, block};
        return;
    }
}

static void* dynamic;  // what the launch asks for beyond the kernel's own
static size_t dynamic_size;

inline void* dynamic_shared() {
    if (dynamic) fresh(dynamic, dynamic_size);
    return dynamic;
}

inline bool in_shared(const void* address) {
    for (const Range& range : ranges)
        if ((uintptr_t)address - (uintptr_t)range.memory < range.size) return true;
    return false;
}

}  // namespace emulator

#ifndef EMULATOR_RACES
namespace emulator {
inline void have_met(int, unsigned) {}
inline void forget() {}
}  // namespace emulator
#else
namespace emulator {

struct Access {
    unsigned long block;   // 0: none
    int thread;
    unsigned long phase;   // how many barriers had been passed
    unsigned long time;    // of the warp operations
    uint3 index;
    void* where;
    bool wrote;
};
struct Note {
    Access write, read, other_read;  // two readers: at least one of them is not the next writer
};
static std::unordered_map<uintptr_t, Note> notes;
static unsigned long meetings;         // counts the operations of all warps
static std::vector<unsigned long> met;  // [thread · 32 + lane]: when it last met that lane of its warp

inline void forget() {
    notes.clear();
    met.assign(threads.size() * 32, 0);
}

inline void have_met(int first, unsigned mask) {
    ++meetings;
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32; j++)
            if (mask >> i & 1 && mask >> j & 1) met[(first + i) * 32 + j] = meetings;
}

inline bool in_order(const Access& before, bool shared) {
    if (!before.block || (before.block == block && before.thread == self->number)) return true;
    if (before.block != block) return shared;  // shared memory is another block's own, at the same place
    if (before.phase != phase) return true;
    bool warp = before.thread / 32 == self->number / 32;
    return warp && met[self->number * 32 + before.thread % 32] > before.time;
}

inline size_t offset_of(void* where) {
    Dl_info info;
    return dladdr(where, &info) ? (char*)where - (char*)info.dli_fbase - 1 : 0;
}

inline void look(uintptr_t address, bool write, void* where) {
    if (address - (uintptr_t)self->stack < STACK) return;
    bool shared = in_shared((void*)address);
    Note& note = notes[address];
    const Access now = {block, self->number, phase, meetings, self->index, where, write};
    for (const Access& before : {note.write, write ? note.read : Access(), write ? note.other_read : Access()}) {
        if (in_order(before, shared)) continue;
        return fault("race in %s memory: thread (%u, %u, %u) %s, @0x%zx, what thread (%u, %u, %u)%s %s, @0x%zx, and "
                     "nothing says who is first", shared ? "shared" : "global", self->index.x, self->index.y,
                     self->index.z, write ? "writes" : "reads", offset_of(where), before.index.x, before.index.y,
                     before.index.z, before.block == block ? "" : " of another block",
                     before.wrote ? "writes" : "reads", offset_of(before.where));
    }
    if (write) note = {now, {}, {}};
    else {
        if (note.read.block != block || note.read.thread != self->number) note.other_read = note.read;
        note.read = now;
    }
}

}  // namespace emulator
#endif

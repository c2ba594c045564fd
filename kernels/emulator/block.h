// The scheduler: the threads of one block on one CPU thread, the blocks of a grid one after another.
//
// It runs a thread until that has to wait (at a barrier, for the other lanes of its warp) or returns, then the next, in
// an order that the seed shuffles anew after every barrier. A kernel that lacks a barrier gives wrong numbers under
// almost any such order. When nobody can go on, the threads do not agree on where to meet: that is reported, with the
// lines where they wait.
//
// Stands on shared.h.  Read warp.h next.
#pragma once
#include "shared.h"

namespace emulator {

static std::vector<int> order;
static unsigned random_state;

inline void shuffle(std::vector<int>& items) {
    for (size_t i = items.size(); random_state && i > 1; i--) {
        random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
        std::swap(items[i - 1], items[random_state % i]);
    }
}

inline void describe(char* text, size_t size, const Thread& t) {
    int n = snprintf(text, size, "thread (%u, %u, %u) ", t.index.x, t.index.y, t.index.z);
    if (t.state == DONE) snprintf(text + n, size - n, "has returned");
    if (t.state == AT_BARRIER)
        snprintf(text + n, size - n, "waits at __syncthreads(), %s:%d", t.site.file, t.site.line);
    if (t.state == IN_WARP)
        snprintf(text + n, size - n, "waits for lanes 0x%08x, %s:%d", t.mask, t.site.file, t.site.line);
}

// Nobody can run: let all pass the barrier, or say who does not agree. False at the end of the block.
inline bool meet() {
    const Thread* one = nullptr;
    for (const Thread& thread : threads)
        if (thread.state != DONE) { one = &thread; break; }
    if (!one) return false;
    const Thread* other = nullptr;
    for (const Thread& thread : threads)
        if (thread.state != one->state || !(thread.site == one->site)) { other = &thread; break; }
    if (other || one->state == IN_WARP) {
        char first[160], second[160];
        describe(first, sizeof first, *one);
        describe(second, sizeof second, other ? *other : threads.back());
        snprintf(message, sizeof message, "divergence: %s; %s", first, second);
        return false;
    }
    for (Thread& thread : threads) thread.state = READY;
    phase++;
    shuffle(order);
    return true;
}

inline void run_block() {
    for (Thread& thread : threads) prepare(thread);
    shuffle(order);
    do {
        for (bool somebody = true; somebody;) {
            somebody = false;
            for (int i : order) {
                if (threads[i].state != READY) continue;
                resume(threads[i]);
                somebody = true;
                if (*message) return;
            }
        }
    } while (meet());
}

static std::vector<char*> stacks;

inline void hire(int count) {  // a fiber for every thread of a block
    while ((int)stacks.size() < count) stacks.push_back((char*)malloc(STACK));
    threads.assign(count, Thread());
    order.resize(count);
    for (int i = 0; i < count; i++) {
        unsigned x = i % blockDim.x, y = i / blockDim.x % blockDim.y, z = i / (blockDim.x * blockDim.y);
        threads[i].index = {x, y, z};
        threads[i].number = order[i] = i;
        threads[i].stack = stacks[i];
    }
}

// Run all blocks, one after another, in an order that the seed shuffles. What went wrong, or an empty text.
inline const char* run(void (*kernel)(void**), void** values, const unsigned* grid, const unsigned* size,
                       unsigned seed) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {size[0], size[1], size[2]};
    body = kernel, arguments = values, random_state = seed * 2654435769u, *message = 0;
    hire(size[0] * size[1] * size[2]);
    forget();
    memset(ranges, 0, sizeof ranges);
    std::vector<int> blocks(grid[0] * grid[1] * grid[2]);
    for (size_t i = 0; i < blocks.size(); i++) blocks[i] = i;
    shuffle(blocks);
    for (unsigned b : blocks) {
        blockIdx = {b % grid[0], b / grid[0] % grid[1], b / (grid[0] * grid[1])};
        block++;
        run_block();
        if (*message) break;
    }
    if (*message) {
        static char report[sizeof message + 64];
        snprintf(report, sizeof report, "block (%u, %u, %u): %s", blockIdx.x, blockIdx.y, blockIdx.z, message);
        return report;
    }
    return message;
}

}  // namespace emulator

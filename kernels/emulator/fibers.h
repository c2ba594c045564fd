// One block of CUDA threads on one CPU thread.
//
// Every CUDA thread is a fiber: a stack of its own and the point where it stopped. The scheduler runs one thread until
// it has to wait (at a barrier, for the other lanes of its warp) or returns, then the next, in an order that the seed
// shuffles anew after every barrier. A kernel that lacks a barrier gives wrong numbers under almost any such order.
// When nobody can go on, the threads do not agree on where to meet: that is reported, with the lines where they wait.
//
// Stands on races.h.  Read shared.h next.
#pragma once
#define NOT_INLINE __attribute__((noinline))
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "races.h"

#if defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN 1
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__) || defined(__APPLE__) || defined(EMULATOR_ASAN)
#define EMULATOR_UCONTEXT 1  // portable, and slower: every switch is a system call
#include <ucontext.h>
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

namespace emulator {

inline void forget();

constexpr size_t STACK = 1 << 16;

enum State { READY, AT_BARRIER, IN_WARP, DONE };

struct Site {  // a line of the kernel
    const char* file;
    int line;
    bool operator==(const Site& other) const { return line == other.line && !strcmp(file, other.file); }
};

struct Copy {  // an asynchronous copy under way
    void* to;
    const void* from;
    int bytes, size, group;
    void* where;
};

struct Thread {
    uint3 index;
    int number;
    State state = READY;
    Site site;             // where it waits
    unsigned mask;         // the lanes that it waits for
    void* offer;           // what it brings to a warp operation
    std::vector<Copy> copies;
    int groups;            // of copies, that it has committed
    char* stack;
#ifdef EMULATOR_UCONTEXT
    ucontext_t context;
#else
    void* context;
#endif
};

static std::vector<Thread> threads;
static std::vector<int> order;
static Thread* self;           // the thread that runs
static unsigned long block;    // counts the blocks of all launches
static unsigned long phase;    // counts the barriers that all have passed
static unsigned random_state;
static char message[512];      // what went wrong; empty: nothing
static void (*body)(void**);
static void** arguments;

#ifdef EMULATOR_UCONTEXT
static ucontext_t scheduler;
#else
static void* scheduler;
extern "C" __attribute__((visibility("hidden"))) void emulator_switch(void** save, void* to);
asm(".pushsection .text\n"      // keep the registers that a function must preserve, and change stacks
    "emulator_switch:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rdi)\n  mov %rsi, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n  ret\n"
    ".popsection\n");
#endif

#ifdef EMULATOR_ASAN  // the address sanitizer wants to know which stack is in use
static void* outer_fake;
static const void* outer_stack;
static size_t outer_size;
#endif

inline void leave() {  // the thread's stack -> the scheduler's
    unwatch();
#ifdef EMULATOR_ASAN
    void* fake;
    __sanitizer_start_switch_fiber(self->state == DONE ? nullptr : &fake, outer_stack, outer_size);
#endif
#ifdef EMULATOR_UCONTEXT
    swapcontext(&self->context, &scheduler);
#else
    emulator_switch(&self->context, scheduler);
#endif
#ifdef EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(fake, &outer_stack, &outer_size);
#endif
}

inline void resume(Thread& thread) {  // the scheduler's stack -> the thread's
    self = &thread;
    threadIdx = thread.index;
    watch();
#ifdef EMULATOR_ASAN
    __sanitizer_start_switch_fiber(&outer_fake, thread.stack, STACK);
#endif
#ifdef EMULATOR_UCONTEXT
    swapcontext(&scheduler, &thread.context);
#else
    emulator_switch(&scheduler, thread.context);
#endif
#ifdef EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(outer_fake, nullptr, nullptr);
#endif
}

// Stop the launch: the message goes to Python as an exception.
__attribute__((format(printf, 1, 2))) inline void fault(const char* format, ...) {
    Quiet quiet;
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    leave();
}

inline void enter() {
#ifdef EMULATOR_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &outer_stack, &outer_size);
#endif
    body(arguments);
    unwatch();
    self->state = DONE;
    leave();
}

inline void prepare(Thread& thread) {
    thread.state = READY;
    thread.copies.clear();
    thread.groups = 0;
#ifdef EMULATOR_UCONTEXT
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack;
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, enter, 0);
#else
    void** top = (void**)(thread.stack + STACK);
    *--top = nullptr;          // where enter() would return to
    *--top = (void*)enter;     // where the first switch returns to
    thread.context = top - 6;  // the registers that it pops
#endif
}

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

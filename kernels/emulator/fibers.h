// A CUDA thread as a fiber: a stack of its own, and the point where it stopped.
//
// One CPU thread runs them all: leave() keeps the registers of the CUDA thread that has to wait and goes back to the
// scheduler (block.h), resume() lets one go on where it was. Nothing interrupts a thread between the two.
//
// Stands on races.h.  Read shared.h next.
#pragma once
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
static Thread* self;           // the thread that runs
static unsigned long block;    // counts the blocks of all launches
static unsigned long phase;    // counts the barriers that all have passed
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

}  // namespace emulator

// A stack with its registers, and the switch between two stacks.
#pragma once
#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace cuemu {

#if defined(__x86_64__)
using Context = void*;  // the stack pointer; everything else is saved on the stack
#else
using Context = ucontext_t;
#endif

/// The first switch to `context` calls `entry` on the stack. `entry` must not return.
void make_context(Context& context, char* stack, std::size_t size, void (*entry)());
void switch_context(Context& save, Context& load);

}  // namespace cuemu

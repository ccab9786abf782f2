// A stack to run on, and the switch between two of them.
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

/// `entry` is called on the stack at the first switch to `context`, and must not return.
void make_context(Context& context, char* stack, std::size_t size, void (*entry)());
void switch_context(Context& save, Context& load);

}  // namespace cuemu

#include "context.h"

#if defined(__x86_64__)

// Saves the registers that a called function must preserve. The caller saves the others.
asm(R"(
.text
.globl cuemu_switch
.type cuemu_switch,@function
cuemu_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size cuemu_switch,.-cuemu_switch
)");
extern "C" void cuemu_switch(void** save, void* load);

namespace cuemu {

void make_context(Context& context, char* stack, std::size_t size, void (*entry)()) {
  auto* top = reinterpret_cast<void**>(stack + size) - 1;  // so that rsp % 16 == 8 at the entry
  *top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  context = top - 6;  // six registers with any values
}

void switch_context(Context& save, Context& load) { cuemu_switch(&save, load); }

}  // namespace cuemu

#else

namespace cuemu {

void make_context(Context& context, char* stack, std::size_t size, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = size;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

void switch_context(Context& save, Context& load) { swapcontext(&save, &load); }

}  // namespace cuemu

#endif

// Fibers: switches from the scheduler to a CUDA thread and back.
#include <sys/mman.h>

#include <cstdlib>

#include "machine.h"

namespace cuemu {
namespace {

#if defined(CUEMU_ASAN) || defined(CUEMU_TSAN)
constexpr std::size_t kStack = 256 * 1024;
#else
constexpr std::size_t kStack = 64 * 1024;
#endif
constexpr std::size_t kGuard = 4096;

std::vector<std::unique_ptr<Fiber>> fibers;  // all fibers ever made
std::vector<Fiber*> idle;
std::vector<Fiber*> retired;  // of this block; their threads have ended

// ThreadSanitizer's fibers. With more than 255 at a time it misses nearly every race (seen in LLVM 14). So threads at a
// distance that no kernel uses share a fiber; only races between such threads are missed.
constexpr unsigned kTsanFibers = 241;
std::vector<tsan::Fiber> tsan_fibers;

// If possible, continues with the next thread on this fiber, so that a kernel that never blocks is a plain loop.
bool take_next_thread() {
  if (tsan::kOn) return false;  // then each thread needs its own stack
  if (m.failed || !m.ready.empty() || m.next_fresh >= m.threads.size()) return false;
  m.current = m.order[m.next_fresh++];
  Thread& t = m.threads[m.current];
  t.fiber = m.running;
  t.state = State::ready;
  threadIdx = t.index;
  return true;
}

[[noreturn]] void fiber_entry() {
  asan::arrive(nullptr, &m.scheduler_stack);
  for (;;) {
    tsan::acquire(&m.block_start);
    (*m.body)();
    tsan::release(&m.block_end);
    leave_thread();
    finish_thread();
    if (take_next_thread()) continue;
    (tsan::kOn ? retired : idle).push_back(m.running);
    to_scheduler();
  }
}

}  // namespace

void leave_thread() { tsan::switch_to(m.tsan_scheduler); }

void to_scheduler() {
  Fiber* self = m.running;
  void* fake = asan::leave(m.scheduler_stack);
  switch_context(self->context, m.scheduler);
  asan::arrive(fake, &m.scheduler_stack);
}

void to_fiber(Fiber& fiber) {
  m.running = &fiber;
  void* fake = asan::leave({fiber.stack, kStack});
  tsan::switch_to(m.threads[m.current].tsan);
  switch_context(m.scheduler, fiber.context);
  asan::arrive(fake);
}

Fiber* take_fiber() {
  if (!idle.empty()) {
    Fiber* fiber = idle.back();
    idle.pop_back();
    return fiber;
  }
  void* p = mmap(nullptr, kGuard + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::abort();
  mprotect(p, kGuard, PROT_NONE);  // stops a kernel that overflows its stack
  fibers.push_back(std::make_unique<Fiber>());
  Fiber* fiber = fibers.back().get();
  fiber->stack = static_cast<char*>(p) + kGuard;
  make_context(fiber->context, fiber->stack, kStack, fiber_entry);
  return fiber;
}

void recycle_fibers() {
  for (Fiber* fiber : retired) {
    if (m.across_blocks)
      munmap(fiber->stack - kGuard, kGuard + kStack);  // ThreadSanitizer then forgets the stack
    else
      idle.push_back(fiber);
  }
  retired.clear();
}

void abandon_fibers() {
  idle.clear(), retired.clear();
  destroy_tsan_fibers();
}

tsan::Fiber tsan_fiber(unsigned number) {
  if (!tsan::kOn) return nullptr;
  number %= kTsanFibers;
  while (number >= tsan_fibers.size()) tsan_fibers.push_back(tsan::create());
  return tsan_fibers[number];
}

void destroy_tsan_fibers() {
  for (tsan::Fiber f : tsan_fibers) tsan::destroy(f);
  tsan_fibers.clear();
}

}  // namespace cuemu

// Barriers and warp collectives. They complete when the last thread arrives, and check that all are at the same one.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "machine.h"

namespace cuemu {
namespace {

#define CUEMU_THREAD "thread (%u,%u,%u)"
#define CUEMU_INDEX(t) (t).index.x, (t).index.y, (t).index.z

bool same_place(const Thread& a, const Thread& b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

void require_kernel(const char* what) {
  if (m.active) return;
  std::fprintf(stderr, "cuemu: %s outside a kernel\n", what);
  std::abort();
}

void complete_barrier_if_full() {
  if (m.waiting_at_barrier == 0 || m.waiting_at_barrier != m.live) return;
  const Thread* first = nullptr;
  for (const Thread& t : m.threads) {
    if (t.state != State::at_barrier) continue;
    if (first == nullptr) first = &t;
    if (same_place(t, *first)) continue;
    std::snprintf(m.message, sizeof m.message, "divergent %s: " CUEMU_THREAD " at %s:%d, " CUEMU_THREAD " at %s:%d",
                  t.what, CUEMU_INDEX(*first), first->file, first->line, CUEMU_INDEX(t), t.file, t.line);
    m.failed = true;
    return;
  }
  m.barrier_result = m.barrier_true;
  m.barrier_true = 0;
  m.waiting_at_barrier = 0;
  for (unsigned t = 0; t < m.threads.size(); ++t)
    if (m.threads[t].state == State::at_barrier) wake(t);
}

// Completes the warp's collective with this mask if all living lanes of the mask have arrived.
void complete_warp_if_full(unsigned warp, unsigned mask) {
  const unsigned base = warp * 32;
  void* records[32] = {};
  const Thread* first = nullptr;
  for (unsigned lane = 0; lane < 32 && base + lane < m.threads.size(); ++lane) {
    const Thread& t = m.threads[base + lane];
    if ((mask >> lane & 1) == 0 || t.state == State::done) continue;
    if (t.state != State::in_warp || t.mask != mask) return;
    if (first == nullptr) first = &t;
    if (t.combine != first->combine || !same_place(t, *first)) {
      std::snprintf(
          m.message, sizeof m.message,
          "divergent warp collective, mask %08x: " CUEMU_THREAD " in %s at %s:%d, " CUEMU_THREAD " in %s at %s:%d",
          mask, CUEMU_INDEX(*first), first->what, first->file, first->line, CUEMU_INDEX(t), t.what, t.file, t.line);
      m.failed = true;
      return;
    }
    records[lane] = t.record;
  }
  if (first == nullptr) return;
  {
    const tsan::Ignore exchange;
    first->combine(records, mask);
  }
  for (unsigned lane = 0; lane < 32; ++lane)
    if (records[lane] != nullptr) wake(base + lane);
}

}  // namespace

void wake(unsigned thread) {
  m.threads[thread].state = State::ready;
  m.ready.push(thread, m.seed == 0);
}

void finish_thread() {
  m.threads[m.current].state = State::done;
  --m.live;
  complete_barrier_if_full();
  const unsigned warp = m.current / 32;
  for (unsigned t = warp * 32; t < warp * 32 + 32 && t < m.threads.size(); ++t)
    if (m.threads[t].state == State::in_warp && (m.threads[t].mask >> (m.current & 31) & 1) != 0)
      complete_warp_if_full(warp, m.threads[t].mask);
}

void report_deadlock() {
  std::size_t used = static_cast<std::size_t>(std::snprintf(m.message, sizeof m.message, "deadlock:"));
  int shown = 0;
  for (const Thread& t : m.threads) {
    if (t.state != State::at_barrier && t.state != State::in_warp) continue;
    if (shown++ == 6 || used >= sizeof m.message) break;
    used += static_cast<std::size_t>(std::snprintf(m.message + used, sizeof m.message - used,
                                                   " " CUEMU_THREAD " waits in %s (mask %08x) at %s:%d;",
                                                   CUEMU_INDEX(t), t.what, t.mask, t.file, t.line));
  }
  m.failed = true;
}

unsigned lane_id() { return m.current & 31; }

void* dynamic_shared() { return m.dynamic; }

void fail(const char* format, ...) {
  va_list args;
  va_start(args, format);
  std::vsnprintf(m.message, sizeof m.message, format, args);
  va_end(args);
  m.failed = true;
  leave_thread();
  to_scheduler();
  std::abort();  // a thread that failed is never resumed
}

void preempt() {
  if (!m.active || m.seed == 0 || !m.random.one_in(4)) return;
  leave_thread();
  wake(m.current);
  to_scheduler();
}

int block_barrier(int predicate, const char* file, int line) {
  require_kernel("__syncthreads");
  Thread& t = m.threads[m.current];
  t.state = State::at_barrier, t.what = "__syncthreads", t.file = file, t.line = line, t.mask = 0;
  char* sync = &m.sync[t.barriers++ & 1];
  tsan::release(sync);
  leave_thread();
  m.barrier_true += predicate != 0;
  ++m.waiting_at_barrier;
  complete_barrier_if_full();
  to_scheduler();
  tsan::acquire(sync);
  return m.barrier_result;
}

void warp_collective(const char* what, unsigned mask, void* record, Combine combine, bool orders_memory,
                     const char* file, int line) {
  require_kernel(what);
  const unsigned lane = lane_id();
  if ((mask >> lane & 1) == 0)
    fail("%s at %s:%d: the mask %08x does not name the calling lane %u", what, file, line, mask, lane);
  Thread& t = m.threads[m.current];
  t.state = State::in_warp, t.what = what, t.file = file, t.line = line, t.mask = mask;
  t.record = record, t.combine = combine;
  const unsigned leader = (m.current & ~31u) + static_cast<unsigned>(__builtin_ctz(mask));
  char* sync = &m.sync[2 + 2 * leader + (orders_memory ? t.syncs++ & 1 : 0)];
  if (orders_memory) tsan::release(sync);
  leave_thread();
  complete_warp_if_full(m.current / 32, mask);
  to_scheduler();
  if (orders_memory) tsan::acquire(sync);
}

}  // namespace cuemu

void __threadfence() {
  cuemu::preempt();
  cuemu::tsan::acquire(&cuemu::m.fence);
  cuemu::tsan::release(&cuemu::m.fence);
}

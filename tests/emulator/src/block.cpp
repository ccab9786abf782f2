// The schedule of one block. Seed 0 runs everything in order. An odd seed chooses the next thread at random. An even
// seed also gives the warps random priorities, so that some run far ahead of others.
#include <cstring>
#include <utility>

#include "machine.h"

// The bounds of the section of __shared__ variables; null if there is none.
extern "C" char __start_cuemu_shared[] __attribute__((weak));
extern "C" char __stop_cuemu_shared[] __attribute__((weak));

namespace cuemu {
namespace {

void poison_shared_memory() {
  if (__start_cuemu_shared == nullptr) return;
  const auto bytes = static_cast<std::size_t>(__stop_cuemu_shared - __start_cuemu_shared);
  std::memset(__start_cuemu_shared, 0xff, bytes);
  if (m.across_blocks) tsan::allow_races(__start_cuemu_shared, bytes);  // on a GPU, every block has its own
}

void set_up_threads() {
  const unsigned n = blockDim.x * blockDim.y * blockDim.z;
  m.threads.assign(n, Thread{});
  m.order.resize(n);
  for (unsigned t = 0; t < n; ++t) {
    m.order[t] = t;
    m.threads[t].index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    m.threads[t].tsan = tsan_fiber(m.across_blocks ? m.block : t);
  }
  for (unsigned& p : m.priority) p = static_cast<unsigned>(m.random.bits());
  if (m.seed != 0)
    for (unsigned t = n; t > 1; --t) std::swap(m.order[t - 1], m.order[m.random.below(t)]);
  m.next_fresh = 0, m.live = n, m.waiting_at_barrier = 0, m.barrier_true = 0;
  m.ready.clear();
}

unsigned take_ready() {
  if (m.seed == 0) return m.ready.take_first();
  return m.seed % 2 == 0 ? m.ready.take_by_priority(m.random, m.priority) : m.ready.take_any(m.random);
}

// Drops the threads of a block that failed; their fibers do not run again.
void end_where_they_are() {
  for (const Thread& t : m.threads) {
    if (!tsan::kOn || t.state == State::done) continue;
    tsan::switch_to(t.tsan);
    tsan::release(&m.block_end);
    leave_thread();
  }
  abandon_fibers();
}

}  // namespace

void run_block() {
  poison_shared_memory();
  set_up_threads();
  tsan::release(&m.block_start);
  while (m.live > 0 && !m.failed) {
    const bool fresh = m.next_fresh < m.threads.size();
    if (!fresh && m.ready.empty()) {
      report_deadlock();
      break;
    }
    // In order: new threads first, then woken threads in the order of their arrival.
    const bool start = fresh && (m.ready.empty() || m.seed == 0 || m.random.one_in(2));
    m.current = start ? m.order[m.next_fresh++] : take_ready();
    Thread& t = m.threads[m.current];
    if (start) t.fiber = take_fiber();
    t.state = State::ready;
    threadIdx = t.index;
    to_fiber(*t.fiber);
  }
  if (m.failed) end_where_they_are();
  if (!m.across_blocks) tsan::acquire(&m.block_end);
  recycle_fibers();
}

}  // namespace cuemu

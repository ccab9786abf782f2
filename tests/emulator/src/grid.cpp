// A grid, block after block; with a seed, in a rotated and sometimes reversed order.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cuemu/control.h"
#include "cuemu/launch.h"
#include "kernel_side.h"
#include "machine.h"
#include "settings.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuemu {

Machine m;

namespace {

// Exactly the requested size, so that AddressSanitizer knows its end.
char* dynamic_memory(std::size_t bytes) {
  void* p = nullptr;
  if (bytes == 0) return nullptr;
  if (posix_memalign(&p, 128, bytes) != 0) std::abort();
  std::memset(p, 0xff, bytes);
  return static_cast<char*>(p);
}

bool run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  static std::uint64_t kernels = 0;
  m.seed = settings().seed, m.across_blocks = settings().across_blocks;
  m.random = Random(m.seed * 0x2545f4914f6cdd1du + ++kernels);
  m.failed = false, m.active = true, m.body = &thread;
  m.tsan_scheduler = tsan::current();
  gridDim = config.gridDim, blockDim = config.blockDim;

  const std::uint64_t blocks = std::uint64_t{gridDim.x} * gridDim.y * gridDim.z;
  const std::uint64_t first = m.seed != 0 ? m.random.bits() % blocks : 0;
  const bool reversed = m.seed != 0 && m.random.one_in(2);
  std::vector<void*> memory;
  const auto free_memory = [&] {
    for (void* p : memory) std::free(p);
    memory.clear();
  };
  if (m.across_blocks) destroy_tsan_fibers();  // new ones have no order between each other
  for (std::uint64_t i = 0; i < blocks && !m.failed; ++i) {
    const std::uint64_t k = (first + (reversed ? blocks - i : i)) % blocks;
    blockIdx = {static_cast<unsigned>(k % gridDim.x), static_cast<unsigned>(k / gridDim.x % gridDim.y),
                static_cast<unsigned>(k / gridDim.x / gridDim.y)};
    m.dynamic = dynamic_memory(config.dynamicSmemBytes);
    m.sync = static_cast<char*>(std::malloc(kSyncs));
    m.block = static_cast<unsigned>(i);
    run_block();
    memory.insert(memory.end(), {m.dynamic, m.sync});
    if (!m.across_blocks) free_memory();  // otherwise the blocks must have different memory
  }
  tsan::acquire(&m.block_end);
  if (m.across_blocks) destroy_tsan_fibers();
  free_memory();
  m.active = false;
  if (m.failed) std::fprintf(stderr, "cuemu: block (%u,%u,%u): %s\n", blockIdx.x, blockIdx.y, blockIdx.z, m.message);
  return !m.failed;
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread) {
  return start_grid(config, kernel, [config, thread = std::move(thread)] { return run_grid(config, thread); });
}

const char* last_report() { return m.message; }

// Nothing to store: new memory is NaN, and AddressSanitizer knows its end.
void memory_begins(void*, std::size_t) {}
void memory_ends(void*) {}
void memory_written(const void*, std::size_t) {}
void forget(void* p, std::size_t bytes) { std::memset(p, 0xff, bytes); }

}  // namespace cuemu

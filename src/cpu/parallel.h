// Loops over fixed chunks on OpenMP's threads. Chunk limits depend on the shape alone, never on the number of threads,
// so that partial results combined in chunk order have the same bits on any number of them. Products are split by the
// number of threads: a run repeats bit for bit on the same one.
#pragma once
#include <algorithm>
#if defined(CUVAE_STD_THREADS)
#include <thread>
#include <vector>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "cuvae/view.h"

namespace cuvae::cpu {

/// Denormal numbers count as zero while this lives: one in a product costs a hundred cycles.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }  // flush to zero, denormals are zero
  ~FlushDenormals() { _mm_setcsr(saved_); }
#else
  FlushDenormals() = default;
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE__)
  unsigned saved_;
#endif
};

inline Index chunk_count(Index n, Index chunk) { return (n + chunk - 1) / chunk; }

/// f(chunk number, begin, end) for each chunk of [0, n).
template <class F>
void parallel_chunks(int threads, Index n, Index chunk, F f) {
  const Index chunks = chunk_count(n, chunk);
  const auto run = [&](Index c) {
    const FlushDenormals flush;
    f(c, c * chunk, std::min(n, (c + 1) * chunk));
  };
  const int team = static_cast<int>(std::min<Index>(threads, chunks));
#if defined(CUVAE_STD_THREADS)  // ThreadSanitizer understands std::thread, not OpenMP's barriers
  std::vector<std::thread> workers;
  const auto share = [&](Index first) {
    for (Index c = first; c < chunks; c += team) run(c);
  };
  if (team <= 1) return share(0);
  for (int t = 0; t < team; ++t) workers.emplace_back(share, t);
  for (std::thread& w : workers) w.join();
#else
#pragma omp parallel for schedule(static) num_threads(team) if (team > 1)
  for (Index c = 0; c < chunks; ++c) run(c);
#endif
}

}  // namespace cuvae::cpu

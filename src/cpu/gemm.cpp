#include "cpu/gemm.h"

#include <dnnl.h>
#include <omp.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <string>

#include "cuvae/error.h"

namespace cuvae::cpu {
namespace {

constexpr Index kSmall = 1 << 17;             // multiplications; up to so many, one thread is faster
constexpr Index kRowUnit = 8, kColUnit = 16;  // oneDNN's kernels take so many at a time

// While this object exists, its thread handles no signals except those of its own faults. oneDNN before 3.11.2 points
// the stack register into the heap during a product; a handler's frame would overwrite the heap there
// (github.com/uxlfoundation/oneDNN/issues/4845).
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t held;
    sigfillset(&held);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) sigdelset(&held, fault);
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  sigset_t before_;
};

// Sets OpenMP's number of threads, which oneDNN uses, for this thread.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

struct Grid {
  Index rows, cols;
};

// How c is cut into parts, one for each thread where there are so many units: those that read the fewest rows of op(a)
// and columns of op(b).
Grid grid_of(Index threads, Index m, Index n) {
  const Index row_units = chunk_count(m, kRowUnit), col_units = chunk_count(n, kColUnit);
  Grid best{1, 1};
  for (Index rows = 1; rows <= std::min(threads, row_units); ++rows) {
    const Grid g{rows, std::min(threads / rows, col_units)};
    const Index more = g.rows * g.cols - best.rows * best.cols;
    if (more > 0 || (more == 0 && m / g.rows + n / g.cols < m / best.rows + n / best.cols)) best = g;
  }
  return best;
}

// Where part `i` of `parts` begins.
Index begin_of(Index i, Index parts, Index size, Index unit) {
  return i == parts ? size : std::min(size, (size * i / parts + unit / 2) / unit * unit);
}

}  // namespace

void gemm(Team& team, Op op_a, Op op_b, Index m, Index n, Index k, const float* a, const float* b, float* c, bool add,
          Index row_of_b) {
  const Index lda = op_a == Op::none ? k : m, packed = op_b == Op::none ? n : k, ldb = row_of_b > 0 ? row_of_b : packed;
  const Index row_of_a = op_a == Op::none ? k : 1, col_of_b = op_b == Op::none ? 1 : k;
  const Grid grid = m * n * k < kSmall ? Grid{1, 1} : grid_of(team.size(), m, n);
  std::atomic<dnnl_status_t> status{dnnl_success};
  // oneDNN's own threads are not used: their signals would have to be blocked, too.
  team.chunks(grid.rows * grid.cols, 1, [&](Index part, Index, Index) {
    const Index i = part / grid.cols, j = part % grid.cols;
    const Index top = begin_of(i, grid.rows, m, kRowUnit), left = begin_of(j, grid.cols, n, kColUnit);
    const Index rows = begin_of(i + 1, grid.rows, m, kRowUnit) - top;
    const Index cols = begin_of(j + 1, grid.cols, n, kColUnit) - left;
    if (rows == 0 || cols == 0) return;
    const OneThread one;
    const SignalsHeld held;
    const dnnl_status_t found =
        dnnl_sgemm(static_cast<char>(op_a), static_cast<char>(op_b), rows, cols, k, 1.0f, a + top * row_of_a, lda,
                   b + left * col_of_b, ldb, add ? 1.0f : 0.0f, c + top * n + left, n);
    if (found != dnnl_success) status = found;
  });
  if (status != dnnl_success)
    throw Error("gemm: oneDNN status " + std::to_string(static_cast<int>(status.load())) + " for m " +
                std::to_string(m) + ", n " + std::to_string(n) + ", k " + std::to_string(k));
}

}  // namespace cuvae::cpu

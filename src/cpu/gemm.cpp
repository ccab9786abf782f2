#include "cpu/gemm.h"

#include <dnnl.h>
#include <omp.h>

#include <string>

#include "cuvae/error.h"

namespace cuvae::cpu {

void gemm(int threads, Op op_a, Op op_b, Index m, Index n, Index k, const float* a, const float* b, float* c) {
#if defined(CUVAE_STD_THREADS)
  threads = 1;  // ThreadSanitizer would report OpenMP's own barriers
#endif
  const int before = omp_get_max_threads();  // oneDNN takes OpenMP's number
  if (before != threads) omp_set_num_threads(threads);
  const dnnl_status_t status = dnnl_sgemm(static_cast<char>(op_a), static_cast<char>(op_b), m, n, k, 1.0f, a,
                                          op_a == Op::none ? k : m, b, op_b == Op::none ? n : k, 0.0f, c, n);
  if (before != threads) omp_set_num_threads(before);
  if (status != dnnl_success)
    throw Error("gemm: oneDNN status " + std::to_string(static_cast<int>(status)) + " for m " + std::to_string(m) +
                ", n " + std::to_string(n) + ", k " + std::to_string(k));
}

}  // namespace cuvae::cpu

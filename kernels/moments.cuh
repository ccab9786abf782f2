// Count, means and sums of squared deviations of a batch's columns, merged into those of earlier batches (Chan, Golub
// and LeVeque 1983). A batch's moments come from sums of x - x0 and its square, where x0 is the first row. Since x0 is
// one of the values, n squared deviations lose at most log2(n) bits of a double. For blocks of kThreads in one
// dimension.
#pragma once
#include "common.cuh"

namespace cuvae::cuda {
namespace {

struct Sums {
  double first, second;  // of x - x0, and of its square
  __device__ Sums& operator+=(const Sums& o) {
    first += o.first;
    second += o.second;
    return *this;
  }
};

/// sums [cols] over rows [begin, end) of a matrix whose value in row r and column c is x(r, c).
template <class X>
__device__ __forceinline__ void sum_columns_of(X x, Index cols, Index begin, Index end, Sums* sums) {
  for (Index first = 0; first < cols; first += kWarp) {
    const Index c = first + threadIdx.x % kWarp;
    const double x0 = c < cols ? static_cast<double>(x(0, c)) : 0.0;
    const Sums sum = column_sum<Sums>(begin, end, [&](Index r) {
      const double d = c < cols ? static_cast<double>(x(r, c)) - x0 : 0.0;
      return Sums{d, d * d};
    });
    if (threadIdx.x < kWarp && c < cols) sums[c] = sum;
  }
}
/// The same of x [rows, cols] in memory.
__device__ inline void sum_columns(const float* x, Index cols, Index begin, Index end, Sums* sums) {
  sum_columns_of([=](Index r, Index c) { return x[r * cols + c]; }, cols, begin, end, sums);
}

/// Adds up the sums [chunks, cols] that the launch's blocks left, and merges them into acc [1 + 2 * cols].
template <class X>
__device__ __forceinline__ void merge_moments_of(X x, Index rows, Index cols, const Sums* sums, unsigned chunks,
                                                 double* acc) {
  const double n = static_cast<double>(rows), before = acc[0], total = before + n;
  double *mean = acc + 1, *squares = mean + cols;
  for (Index first = 0; first < cols; first += kWarp) {
    const Index c = first + threadIdx.x % kWarp;
    const Sums sum = column_sum<Sums>(0, chunks, [&](Index k) {
      const Sums* p = sums + k * cols + c;
      return c < cols ? Sums{__ldcg(&p->first), __ldcg(&p->second)} : Sums{};
    });
    if (threadIdx.x >= kWarp || c >= cols) continue;
    const double shift = sum.first / n;
    const double delta = static_cast<double>(x(0, c)) + shift - mean[c];
    mean[c] += delta * n / total;
    squares[c] += sum.second - sum.first * shift + delta * delta * before * n / total;
  }
  if (threadIdx.x == 0) acc[0] = total;  // read by all before column_sum's barriers
}
__device__ inline void merge_moments(const float* x, Index rows, Index cols, const Sums* sums, unsigned chunks,
                                     double* acc) {
  merge_moments_of([=](Index r, Index c) { return x[r * cols + c]; }, rows, cols, sums, chunks, acc);
}

}  // namespace
}  // namespace cuvae::cuda

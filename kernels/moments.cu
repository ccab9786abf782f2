// moments: count, means and sums of squared deviations of a batch's columns, merged into those of earlier batches
// (Chan, Golub and LeVeque 1983). The batch's own come from sums of x - x0 and its square, x0 the first row: since x0
// is one of the values, n squared deviations lose at most log2(n) of a double's bits. Moved per element: 4 bytes read.
#include "common.cuh"
#include "launch.h"

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

Index moments_chunk(Index rows) { return chunk_rows(rows, 16, 128); }

// Block c sums rows [c, c + 1) * rows_per_chunk into partials [chunks, cols]; the last to finish adds and merges them.
__global__ void __launch_bounds__(kThreads)
    moments(const Moments op, Index rows_per_chunk, Sums* partials, unsigned* ticket) {
  const Index C = op.cols, begin = blockIdx.x * rows_per_chunk,
              end = begin + rows_per_chunk < op.rows ? begin + rows_per_chunk : op.rows;
  for (Index first = 0; first < C; first += kWarp) {
    const Index c = first + threadIdx.x % kWarp;
    const double x0 = c < C ? static_cast<double>(op.x[c]) : 0.0;
    const Sums sums = column_sum<Sums>(begin, end, [&](Index r) {
      const double d = c < C ? static_cast<double>(op.x[r * C + c]) - x0 : 0.0;
      return Sums{d, d * d};
    });
    if (threadIdx.x < kWarp && c < C) partials[blockIdx.x * C + c] = sums;
  }
  if (!is_last_block(ticket, gridDim.x)) return;

  const double n = static_cast<double>(op.rows), before = op.acc[0], total = before + n;
  double *mean = op.acc + 1, *squares = mean + C;
  for (Index first = 0; first < C; first += kWarp) {
    const Index c = first + threadIdx.x % kWarp;
    const Sums sums = column_sum<Sums>(0, gridDim.x, [&](Index k) {
      const Sums* p = partials + k * C + c;
      return c < C ? Sums{__ldcg(&p->first), __ldcg(&p->second)} : Sums{};
    });
    if (threadIdx.x >= kWarp || c >= C) continue;
    const double shift = sums.first / n;
    const double delta = static_cast<double>(op.x[c]) + shift - mean[c];
    mean[c] += delta * n / total;
    squares[c] += sums.second - sums.first * shift + delta * delta * before * n / total;
  }
  if (threadIdx.x == 0) op.acc[0] = total;  // read by all before column_sum's barriers
}

}  // namespace

std::size_t scratch_bytes(const Moments& op) {
  return static_cast<std::size_t>(ceil_div(op.rows, moments_chunk(op.rows)) * op.cols) * sizeof(Sums);
}

cudaError_t launch(const Moments& op, Scratch scratch, cudaStream_t stream) {
  const Index rows = moments_chunk(op.rows);
  return start(moments, static_cast<unsigned>(ceil_div(op.rows, rows)), kThreads, stream, op, rows,
               static_cast<Sums*>(scratch.partials), scratch.ticket);
}

}  // namespace cuvae::cuda

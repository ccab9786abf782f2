// moments: block c sums rows [c, c + 1) * rows_per_chunk; the last block to finish merges the sums. Moved per element:
// 4 bytes read. If there are few rows, as with one gradient of all parameters, each thread merges a column, and the
// last block updates the count: 4 bytes a row, and 32 a column for the mean and squares, read and written.
#include "moments.cuh"

#include "launch.h"

namespace cuvae::cuda {
namespace {

Index moments_chunk(Index rows) { return chunk_rows(rows, 16, 128); }

// partials [chunks, cols].
__global__ void __launch_bounds__(kThreads, 4)
    moments(const Moments op, Index rows_per_chunk, Sums* partials, unsigned* ticket) {
  const Index begin = blockIdx.x * rows_per_chunk,
              end = begin + rows_per_chunk < op.x.rows ? begin + rows_per_chunk : op.x.rows;
  sum_columns(data_of(op.x), op.x.cols, begin, end, partials + blockIdx.x * op.x.cols);
  if (is_last_block(ticket, gridDim.x)) merge_moments(data_of(op.x), op.x.rows, op.x.cols, partials, gridDim.x, op.acc);
}

__global__ void __launch_bounds__(kThreads, 4) moments_of_few_rows(const Moments op, unsigned* ticket) {
  const Index rows = op.x.rows, cols = op.x.cols;
  const float* x = data_of(op.x);
  const double n = static_cast<double>(rows), before = op.acc[0], total = before + n;
  double *mean = op.acc + 1, *squares = mean + cols;
  const Index step = static_cast<Index>(gridDim.x) * kThreads;
  for (Index c = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x; c < cols; c += step) {
    const double x0 = static_cast<double>(x[c]);
    Sums sum{};
    for (Index r = 1; r < rows; ++r) {
      const double d = static_cast<double>(x[r * cols + c]) - x0;
      sum += Sums{d, d * d};
    }
    const double shift = sum.first / n, delta = x0 + shift - mean[c];
    mean[c] += delta * n / total;
    squares[c] += sum.second - sum.first * shift + delta * delta * before * n / total;
  }
  if (is_last_block(ticket, gridDim.x) && threadIdx.x == 0) op.acc[0] = total;  // all blocks have read it
}

bool has_few_rows(const Moments& op) { return op.x.rows <= 16; }

}  // namespace

std::size_t scratch_bytes(const Moments& op) {
  if (has_few_rows(op)) return 0;
  return static_cast<std::size_t>(ceil_div(op.x.rows, moments_chunk(op.x.rows)) * op.x.cols) * sizeof(Sums);
}

cudaError_t launch(const Moments& op, Scratch scratch, cudaStream_t stream) {
  if (has_few_rows(op))
    return start(moments_of_few_rows, grid_for(op.x.cols, kThreads), kThreads, stream, op, scratch.ticket);
  const Index rows = moments_chunk(op.x.rows);
  return start(moments, static_cast<unsigned>(ceil_div(op.x.rows, rows)), kThreads, stream, op, rows,
               static_cast<Sums*>(scratch.partials), scratch.ticket);
}

}  // namespace cuvae::cuda

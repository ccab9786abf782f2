// moments: block c sums rows [c, c + 1) * rows_per_chunk, the last to finish merges. Moved per element: 4 bytes read.
#include "moments.cuh"

#include "launch.h"

namespace cuvae::cuda {
namespace {

Index moments_chunk(Index rows) { return chunk_rows(rows, 16, 128); }

// partials [chunks, cols].
__global__ void __launch_bounds__(kThreads)
    moments(const Moments op, Index rows_per_chunk, Sums* partials, unsigned* ticket) {
  const Index begin = blockIdx.x * rows_per_chunk,
              end = begin + rows_per_chunk < op.rows ? begin + rows_per_chunk : op.rows;
  sum_columns(op.x, op.cols, begin, end, partials + blockIdx.x * op.cols);
  if (is_last_block(ticket, gridDim.x)) merge_moments(op.x, op.rows, op.cols, partials, gridDim.x, op.acc);
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

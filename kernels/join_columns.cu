// join_columns: joined [R, I + C] = [left [R, I] | right [B, C] of row r / K]. Threads take the elements of a row in
// turn; a block takes several rows when they are short. Reads and writes are coalesced, but not aligned to more than an
// element. Moved per element: 4 bytes read and 4 written, as bf16 2 and 2.
#include "common.cuh"
#include "launch.h"

namespace cuvae::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) join_columns(const JoinColumns op) {
  const Index left = op.left.cols, right = op.right.cols, samples = op.left.rows / op.right.rows;
  for (Index row = static_cast<Index>(blockIdx.x) * blockDim.y + threadIdx.y; row < op.joined.rows;
       row += static_cast<Index>(gridDim.x) * blockDim.y)
    for (Index i = threadIdx.x; i < left + right; i += blockDim.x)
      data_of<T>(op.joined)[row * (left + right) + i] =
          i < left ? data_of<T>(op.left)[row * left + i] : data_of<T>(op.right)[row / samples * right + i - left];
}

}  // namespace

cudaError_t launch(const JoinColumns& op, cudaStream_t stream) {
  const RowBlocks shape(op.joined.rows, op.joined.cols);
  return with_type(op.joined.dtype,
                   [&]<class T>() { return start(join_columns<T>, shape.grid, shape.block, stream, op); });
}

}  // namespace cuvae::cuda

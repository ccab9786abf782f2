// round_to_bf16: a bf16 copy of the parameters, which matrix products read. Moved per element: 4 bytes read, 2 written.
#include "common.cuh"
#include "launch.h"

namespace cuvae::cuda {
namespace {

template <int N>
__global__ void __launch_bounds__(kThreads) round_to_bf16(const RoundToBf16 op) {
  const Index size = op.from.rows * op.from.cols;
  for_each_pack<N>(size, [&]<int M>(Index i) { store(data_of<Bf16>(op.to) + i, load<M>(data_of(op.from) + i)); });
}

}  // namespace

cudaError_t launch(const RoundToBf16& op, cudaStream_t stream) {
  const bool packs = aligned(op.from, op.to);
  return start(packs ? round_to_bf16<4> : round_to_bf16<1>, grid_for(op.from.size(), kThreads * (packs ? 4 : 1)),
               kThreads, stream, op);
}

}  // namespace cuvae::cuda

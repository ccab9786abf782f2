// fill_missing: the encoder's input, with 0 for missing values. Moved per value: 4 bytes read and 4 written, as bf16 2.
#include "common.cuh"
#include "launch.h"
#include "math/formulas.h"

namespace cuvae::cuda {
namespace {

template <class T, int N>
__global__ void __launch_bounds__(kThreads) fill_missing(const FillMissing op) {
  for_each_pack<N>(op.x.rows * op.x.cols, [&]<int M>(Index i) {
    Pack<M> values = load<M>(data_of<T>(op.x) + i);
    for (float& v : values.v) v = math::is_missing(v) ? 0.0f : v;
    store(data_of<T>(op.y) + i, values);
  });
}

}  // namespace

cudaError_t launch(const FillMissing& op, cudaStream_t stream) {
  return with_type(op.x.dtype, [&]<class T>() {
    const bool packs = aligned(op.x, op.y);
    return start(packs ? fill_missing<T, kPack<T>> : fill_missing<T, 1>,
                 grid_for(op.x.size(), kThreads * (packs ? kPack<T> : 1)), kThreads, stream, op);
  });
}

}  // namespace cuvae::cuda

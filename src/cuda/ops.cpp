// The ops of the CUDA backend that are more than one kernel: a product, and what its epilogue does not do.
#include "cuda/cuda_backend.h"
#include "cuda/error.h"

namespace cuvae::cuda {
namespace {

// The multiply-adds of a product up to which one launch of a plain kernel beats two or three of the library's and its
// helpers. At batch 128 the layers 400 -> 40 and 20 -> 400 are below (2.0 and 1.0 million), 784 -> 400 is far above (40
// million). On an H100 they take 3.4 and 6.6 us, their products alone 12.6 and 12.6 us (bench/results/gpu/).
constexpr Index kSmallProduct = Index{1} << 22;
constexpr Index kFewRows = 1024;  // one block sums over all of them

}  // namespace

void CudaBackend::compute(const Linear& op) {
  const ConstView x = op.x, w = op.w, b = op.b;
  const View y = op.y, pre = op.pre;
  const Activation act = op.activation;
  bind();
  Product product{Op::none, Op::transpose, y.rows, y.cols, x.cols, x.data, w.data, y.data, x.dtype, y.dtype};
  product.bias = b.data;
  if (act == Activation::identity) product.epilogue = Epilogue::bias;
  if (act == Activation::relu) product.epilogue = Epilogue::relu_bias;
  if (product.epilogue == Epilogue::none || !gemm_->supports(product)) {
    product.epilogue = Epilogue::none;
    gemm_->run(product);
    return enqueue(Linear::name, BiasActivation{y, pre, b, act});
  }
  gemm_->run(product);
  if (pre) {  // no model needs it with these activations; y has the same bits with and without it
    product.epilogue = Epilogue::bias;
    product.c = pre.data;
    gemm_->run(product);
  }
}

void CudaBackend::compute(const LinearBackward& op) {
  const ConstView x = op.x, w = op.w, dy = op.dy;
  const View dw = op.dw, dx = op.dx;
  if (dy.rows <= kFewRows && dy.rows * w.size() <= kSmallProduct) return enqueue(op.name, op);
  bind();
  // The gradients by the parameters do not depend on those by the inputs: in a graph they are computed at the same
  // time. Outside of one, a call costs more than that saves.
  const bool in_parallel = recording_ && dw;
  if (in_parallel) side_->begin(stream_);
  if (dw) {
    enqueue(op.name, ColumnSums{dy, op.db, op.gradients}, in_parallel && dx ? side_->stream() : stream_);
    Product of_weights{Op::transpose, Op::none, dw.rows, dw.cols, dy.rows, dy.data, x.data, dw.data, x.dtype};
    of_weights.add = op.gradients == Gradients::add;
    (in_parallel ? side_->gemm() : *gemm_).run(of_weights);
  }
  if (dx) {
    Product of_inputs{Op::none, Op::none, dx.rows, dx.cols, w.rows, dy.data, w.data, dx.data, w.dtype, dx.dtype};
    of_inputs.add = op.dx_gradients == Gradients::add;
    of_inputs.cols_of_b = w.cols;
    gemm_->run(of_inputs);
    enqueue(op.name, ActivationBackward{dx, x, op.below_pre, op.below});
  }
  if (in_parallel) side_->end(stream_);
}

}  // namespace cuvae::cuda

// Every kernel behind one call: launch() enqueues an op of cuvae/ops.h, or one of the parts below, on a stream and
// returns the error of the launch. All views are of device memory, float32 or bf16. Where scratch_bytes() exists, the
// op needs that much memory for partial sums.
#pragma once
#include <cuda_runtime_api.h>

#include "cuvae/ops.h"

namespace cuvae::cuda {

/// Memory that an op may write between its start and its end.
struct Scratch {
  void* partials;    // 256-byte aligned
  unsigned* ticket;  // zero, and zero again afterwards: tells a grid's last block that it is the last
};

/// y = act(y + b), pre = y + b where given: what a product's epilogue does not do of Linear.
struct BiasActivation {
  View y, pre;  // [rows, cols]
  ConstView b;  // [1, cols] of the type of y
  Activation activation;
};

/// dx *= act'(y or pre), of LinearBackward. No launch for the identity.
struct ActivationBackward {
  View dx;
  ConstView y, pre;  // shaped as dx; pre may be empty where the derivative does not need it
  Activation activation;
};

/// sums [1, cols] = the sums of x's columns, of LinearBackward; or sums += these.
struct ColumnSums {
  ConstView x;
  View sums;
  Gradients gradients = Gradients::replace;
};

cudaError_t launch(const GatherBatch&, cudaStream_t);
cudaError_t launch(const JoinColumns&, cudaStream_t);
cudaError_t launch(const FillMissing&, cudaStream_t);
cudaError_t launch(const SampleGaussian&, Scratch, cudaStream_t);
cudaError_t launch(const GaussianBackward&, cudaStream_t);
cudaError_t launch(const SampleBernoulli&, Scratch, cudaStream_t);
cudaError_t launch(const BernoulliBackward&, cudaStream_t);
cudaError_t launch(const PlaceProbes&, cudaStream_t);
cudaError_t launch(const ProbeBackward&, cudaStream_t);
cudaError_t launch(const LogProb&, Scratch, cudaStream_t);
cudaError_t launch(const GaussianLogProb&, Scratch, cudaStream_t);
cudaError_t launch(const DrawData&, cudaStream_t);
cudaError_t launch(const LatentLogProb&, cudaStream_t);
cudaError_t launch(const MixtureLogProb&, Scratch, cudaStream_t);
cudaError_t launch(const BernoulliLogProb&, Scratch, cudaStream_t);
cudaError_t launch(const MergeGaussians&, cudaStream_t);
cudaError_t launch(const MergeGaussiansBackward&, cudaStream_t);
cudaError_t launch(const ImportanceWeights&, Scratch, cudaStream_t);
cudaError_t launch(const ScoreWeights&, Scratch, cudaStream_t);
cudaError_t launch(const BiasActivation&, cudaStream_t);
cudaError_t launch(const ActivationBackward&, cudaStream_t);
cudaError_t launch(const ColumnSums&, Scratch, cudaStream_t);
cudaError_t launch(const LinearBackward&, cudaStream_t);  // for layers so small that launches are what they cost
cudaError_t launch(const Adam&, Scratch, cudaStream_t);
cudaError_t launch(const RoundToBf16&, cudaStream_t);
cudaError_t launch(const Moments&, Scratch, cudaStream_t);
cudaError_t launch(const CountStep&, cudaStream_t);

std::size_t scratch_bytes(const SampleGaussian&);
std::size_t scratch_bytes(const SampleBernoulli&);
std::size_t scratch_bytes(const LogProb&);
std::size_t scratch_bytes(const GaussianLogProb&);
std::size_t scratch_bytes(const MixtureLogProb&);
std::size_t scratch_bytes(const BernoulliLogProb&);
std::size_t scratch_bytes(const ImportanceWeights&);
std::size_t scratch_bytes(const ScoreWeights&);
std::size_t scratch_bytes(const ColumnSums&);
std::size_t scratch_bytes(const Adam&);
std::size_t scratch_bytes(const Moments&);

}  // namespace cuvae::cuda

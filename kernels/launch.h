// Every kernel behind one call: a struct names an operation's arrays and sizes, launch() enqueues it on a stream and
// returns the error of the launch. The formulas are those of cuvae/backend.h; all pointers are to device memory, and
// void ones are of the given type, float32 or bf16. Where scratch_bytes() exists, the operation needs that much memory
// for partial sums.
#pragma once
#include <cuda_runtime_api.h>

#include "cuvae/types.h"

namespace cuvae::cuda {

/// Memory that an operation may write between its start and its end.
struct Scratch {
  void* partials;    // 256-byte aligned
  unsigned* ticket;  // zero, and zero again afterwards: tells a grid's last block that it is the last
};

struct Gather {
  const void* pixels;  // [N, cols], u8 or f32
  DType pixel_type;
  BatchRows rows;
  Binarize binarize;
  Noise noise;
  Index batch, cols;
  void* x;  // [batch, cols]
  DType type;
};
cudaError_t launch(const Gather&, cudaStream_t);

struct SampleLatent {
  const float* stats;  // [batch, 2 * latent]
  Noise noise;
  Index batch, samples, latent;
  void* z;  // [batch * samples, latent]
  DType type;
  float *kl, *kl_dims;                  // [batch], [latent]
  double* moments;                      // [1 + 4 * latent] or null
  float *log_p_z, *log_q, *score_norm;  // [batch * samples], or all null, or the last
};
std::size_t scratch_bytes(const SampleLatent&);
cudaError_t launch(const SampleLatent&, Scratch, cudaStream_t);

struct LatentBackward {
  LatentTerms terms;
  const float *stats, *dz, *kl_dims;  // as above; dz may be null
  Noise noise;
  KlWeight weight;
  float kl_scale;
  Index batch, samples, latent;
  void* dstats;  // [batch, 2 * latent]
  DType type;
};
cudaError_t launch(const LatentBackward&, cudaStream_t);

struct PlaceProbes {
  bool delta, coupled;  // around the posterior's mean, else around the samples, there coupled or not
  const float* stats;   // [batch, 2 * latent]
  Noise noise;
  Index points, samples, latent;  // points are samples of such an estimator, or rows
  void* probes;                   // [points * (delta ? 2 * latent + 1 : 4 * latent), latent]
  DType type;
};
cudaError_t launch(const PlaceProbes&, cudaStream_t);

struct ProbeBackward {
  bool delta;
  const float *stats, *log_p, *log_p_probes, *kl_dims;  // log_p [batch * samples] for delta
  Noise noise;
  KlWeight weight;
  float kl_scale;
  Index batch, samples, latent;
  void* dstats;  // [batch, 2 * latent]
  DType type;
};
cudaError_t launch(const ProbeBackward&, cudaStream_t);

/// ElboLoss for a kernel; without `loss` there is none.
struct Loss {
  const float *kl, *kl_dims;  // [batch], [latent]
  Index batch, latent;
  KlWeight weight;
  const std::uint32_t* step;
  float* loss;
  double* sums;                    // [metric::kl_dims + latent]
  double *step_moments, *moments;  // [1 + 4 latent]
};

struct Bernoulli {
  const void *logits, *x;  // [rows, cols], [rows / samples, cols]
  DType type;              // of dlogits too
  Index rows, samples, cols;
  RowFactor row_weight;
  float* log_p;   // [rows]
  void* dlogits;  // [rows, cols] or null, may be the logits
  Loss loss;
};
std::size_t scratch_bytes(const Bernoulli&);
cudaError_t launch(const Bernoulli&, Scratch, cudaStream_t);

struct Gaussian {
  const void *mean, *x;               // [rows, cols], [rows / samples, cols]
  DType type;                         // of dmean too
  const float* log_scale;             // [scales]
  Index rows, samples, cols, scales;  // scales is 1 or cols
  bool learned;                       // clamps log_scale
  RowFactor row_weight;
  float* log_p;       // [rows]
  void* dmean;        // [rows, cols] or null, may be the mean
  float* dlog_scale;  // [scales] or null
  Loss loss;
};
std::size_t scratch_bytes(const Gaussian&);
cudaError_t launch(const Gaussian&, Scratch, cudaStream_t);

struct ImportanceWeights {
  const float *log_p_x, *log_p_z, *log_q;  // [batch * samples]
  Index batch, samples;
  float *bound, *weights, *effective;  // [batch], [batch * samples], [batch] or null
  Loss loss;
};
std::size_t scratch_bytes(const ImportanceWeights&);
cudaError_t launch(const ImportanceWeights&, Scratch, cudaStream_t);

struct ScoreWeights {
  Estimator estimator;
  const float *log_p_x, *log_p_z, *log_q;  // [batch * samples]; log_q is null where the cost leaves it out
  Index batch, samples;
  RunningMean *mean, *variance;       // or null
  const float *score_norm, *network;  // [batch * samples], [batch], or null
  void* dnetwork;                     // [batch] or null
  DType type;                         // of dnetwork
  float* score;                       // [batch * samples]
};
std::size_t scratch_bytes(const ScoreWeights&);
cudaError_t launch(const ScoreWeights&, Scratch, cudaStream_t);

/// y = act(y + b), pre = y + b where given.
struct BiasActivation {
  void *y, *pre;  // [rows, cols], the same or null
  const void* b;  // [cols]
  DType type;
  Index rows, cols;
  Activation activation;
};
cudaError_t launch(const BiasActivation&, cudaStream_t);

/// dx *= act'(y or pre): no launch for the identity.
struct ActivationBackward {
  void* dx;
  const void *y, *pre;  // pre is null where the derivative does not need it
  DType type;
  Index size;
  Activation activation;
};
cudaError_t launch(const ActivationBackward&, cudaStream_t);

struct ColumnSums {
  const void* x;  // [rows, cols]
  DType type;
  Index rows, cols;
  float* sums;  // [cols]
};
std::size_t scratch_bytes(const ColumnSums&);
cudaError_t launch(const ColumnSums&, Scratch, cudaStream_t);

/// The backward pass of a linear layer, for layers so small that launches are what they cost.
struct LinearBackward {
  const void *x, *w, *dy;  // [batch, inputs], [outputs, inputs], [batch, outputs]
  const void* below_pre;   // [batch, inputs] where needs_pre_activation(below)
  DType type, dx_type;     // of those before, of dx; float32 or bf16
  Index batch, inputs, outputs;
  Activation below;
  float *dw, *db;  // [outputs, inputs], [outputs]
  void* dx;        // [batch, inputs] or null
};
cudaError_t launch(const LinearBackward&, cudaStream_t);

struct Adam {
  Arena arena;
  OptimizerStep step;
  const float* loss;
  StepState* state;
  double* sums;
};
std::size_t scratch_bytes(const Adam&);
cudaError_t launch(const Adam&, Scratch, cudaStream_t);

struct RoundToBf16 {
  const float* from;  // [size]
  void* to;           // [size]
  Index size;
};
cudaError_t launch(const RoundToBf16&, cudaStream_t);

struct Moments {
  const float* x;  // [rows, cols]
  Index rows, cols;
  double* acc;  // [1 + 2 * cols]
};
std::size_t scratch_bytes(const Moments&);
cudaError_t launch(const Moments&, Scratch, cudaStream_t);

}  // namespace cuvae::cuda

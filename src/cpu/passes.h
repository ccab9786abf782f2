// The CPU backend's element-wise passes over a range of rows or elements, on one thread. passes.cpp is compiled once
// per instruction set; passes() chooses the best one that the processor has. No pass calls a library function: the
// linker could replace the portable code of an inline function by that for AVX-512.
#pragma once
#include <cstdint>

#include "cuvae/types.h"

namespace cuvae::cpu {

/// Random numbers `index` onwards of one stream at one step.
struct Draw {
  std::uint64_t seed;
  std::uint32_t stream, step;
};

/// The components of a mixture, with a row for each latent, and the part of their log-densities that no z changes.
struct MixtureTables {
  const float *mu, *inverse;  // [latent, components]: means, 1 / sigma
  const float* constant;      // [components]: log weight - sum_l (logvar + log(2 pi)) / 2
  Index components, latent;
};

struct Passes {
  const char* isa;

  /// y = act(y + b) over rows; pre, when given, receives y + b.
  void (*bias_activation)(float* y, float* pre, const float* b, Index rows, Index cols, Activation act);
  /// dx *= act'(y or pre).
  void (*activation_backward)(float* dx, const float* y, const float* pre, Index n, Activation act);
  /// sums[c] += sum over rows of x.
  void (*column_sums)(const float* x, Index rows, Index cols, float* sums);
  /// One row: x = pixels (u8 / 255 or f32), binarized; the uniform of column d has number first + d.
  void (*gather_row)(const void* pixels, DType type, Binarize binarize, const Draw& draw, std::uint64_t first,
                     Index cols, float* x);
  /// y = x, but 0 where x is NaN.
  void (*fill_missing)(const float* x, Index n, float* y);
  /// Normals number first + [0, n).
  void (*normals)(const Draw& draw, std::uint64_t first, Index n, float* out);
  /// Uniforms number first + [0, n), or with `complements` 1 minus them.
  void (*uniforms)(const Draw& draw, std::uint64_t first, Index n, bool complements, float* out);
  /// Rows of z = mu + sigma * noise, samples x latent each; kl[row], and kl_dims[l] += kl of each dimension.
  void (*sample_latent)(const float* stats, const float* noise, Index rows, Index samples, Index latent, float* z,
                        float* kl, float* kl_dims);
  /// log N(z; 0, I) and log q(z|x) of rows of such samples, and where given the squared norm of q's score.
  void (*log_densities)(const float* stats, const float* noise, const float* z, Index rows, Index samples, Index latent,
                        float* log_p_z, float* log_q, bool add, float* score_norm);
  /// See GaussianBackward; kl_scale[l] is s, already 0 in dimensions below the free bits.
  void (*latent_backward)(const float* stats, const float* noise, const float* dz, const float* kl_scale, Index rows,
                          Index samples, Index latent, float* dstats);
  /// The same with any terms; `first` is the number of the first sample row, dz may be null.
  void (*latent_backward_terms)(const LatentTerms& terms, Index first, const float* stats, const float* noise,
                                const float* dz, const float* kl_scale, Index rows, Index samples, Index latent,
                                float* dstats);
  /// One row of outputs and of x [cols], for a likelihood that LogProb takes; returns log p, writes the gradient when
  /// given, which may be the outputs. With `missing`, here and below, NaN in x is a missing value.
  float (*log_prob_row)(Likelihood likelihood, bool missing, const float* outputs, const float* x, Index cols,
                        float weight, float* doutputs);
  /// inv_scale [cols]; dlog_scale[d] += weight * (((x - mean) inv_scale)^2 - 1) when given. Returns the sum of squares.
  float (*gaussian_row)(bool missing, const float* mean, const float* x, const float* inv_scale, Index cols,
                        float weight, float* dmean, float* dlog_scale);
  /// One row of outputs; x [cols] is drawn with the random numbers `first` onwards. log_scale [1] or [cols], `scales`
  /// of them, of a Gaussian whose scale all rows share, held to its clamp.
  void (*draw_row)(Likelihood likelihood, const float* outputs, const float* log_scale, Index scales, const Draw& draw,
                   std::uint64_t first, Index cols, float* x);
  /// One row of z [latent] and of stats [2 latent]; returns log p, adds to dz and writes dstats where given.
  float (*latent_log_prob_row)(const float* z, const float* stats, Index latent, float weight, float* dz,
                               float* dstats);
  /// Rows of logits [rows, latent]. z [rows, samples, latent], which holds uniforms, becomes the samples; where given,
  /// log q and the squared norm of q's score of each, added to what is there with `add`, and columns [rows, 2 latent] =
  /// sigmoid(logits) | logits.
  void (*sample_bernoulli)(const float* logits, Index rows, Index samples, Index latent, float* z, float* log_q,
                           bool add, float* score_norm, float* columns);
  /// See BernoulliBackward; `first` is the number of the first sample row.
  void (*bernoulli_backward)(const RowFactor& score, bool optimal, Index first, const float* logits, const float* z,
                             Index rows, Index samples, Index latent, float* dlogits);
  /// One row of z and of logits [latent]; returns log p, writes dlogits where given, or with `add` adds to it.
  float (*bernoulli_row)(const float* z, const float* logits, Index latent, float weight, float* dlogits, bool add);
  /// One row of z; returns log p and writes the responsibilities [components], adds to dz where given.
  float (*mixture_row)(const MixtureTables& tables, const float* z, float weight, float* responsibilities, float* dz);
  /// d [2 latent] = the sum of weight * responsibility * the gradient of log N(z; mu, exp(logvar)) by stats = mu |
  /// logvar over rows of z [rows, latent]; `stride` floats between responsibilities, `inverse` [latent] for what it
  /// needs.
  void (*mixture_component)(const float* z, const float* responsibilities, Index stride, const RowFactor& weight,
                            Index rows, const float* stats, Index latent, float* inverse, float* d);
  /// See MergeGaussians and its backward pass; one row each. The gradients are added to what is there, where given;
  /// dbottom_up is not yet held back at the clamp.
  void (*merge_row)(const float* prior, const float* bottom_up, Index latent, float* merged);
  void (*merge_backward_row)(const float* prior, const float* bottom_up, const float* dmerged, Index latent,
                             float* dprior, float* dbottom_up);
  double (*sum_of_squares)(const float* x, Index n);
  void (*update)(const OptimizerStep& step, float rate, float gradient_scale, float correction1, float correction2_sqrt,
                 Index n, float* p, const float* g, float* m, float* v, float* ema);
};

const Passes& passes();

}  // namespace cuvae::cpu

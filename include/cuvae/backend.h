// The seam: a small closed set of fused ops that a device computes. Model code above it is written once.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "cuvae/error.h"
#include "cuvae/types.h"
#include "cuvae/view.h"

namespace cuvae {

class Backend;

/// Memory of a backend, freed with it. Outlives nothing: the backend must be destroyed last.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  /// Its beginning as a matrix; throws Error naming both sizes where that does not fit.
  View view(Index rows, Index cols, DType type = DType::f32) const {
    const Index room = static_cast<Index>(bytes_ / size_of(type));
    if (rows < 0 || cols < 0 || (cols > 0 && rows > room / cols)) refuse(rows, cols, type);
    return {data_, rows, cols, type};
  }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  friend class Backend;
  [[noreturn]] void refuse(Index rows, Index cols, DType type) const;
  Backend* backend_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What a backend recorded of some work: see Backend::replay. Like a Buffer, it goes before its backend.
class Recording {
 public:
  struct Content {
    virtual ~Content() = default;
  };

 private:
  friend class Backend;
  std::unique_ptr<Content> content_;
};

/// Two halves of a backend's memory that the host fills in turn: while ops read one, the other is on its way.
class DoubleBuffer {
 public:
  virtual ~DoubleBuffer() = default;
  virtual const void* device() const = 0;  ///< both halves, one behind the other
  virtual void* host(int half) = 0;        ///< where the host writes a half's next content; waits for its last sending
  virtual void send(int half) = 0;         ///< takes it to the device, once the ops asked for so far are done
  virtual void use(int half) = 0;          ///< ops asked for from now on find there what was sent last
};

/// Notation: B batch rows, K samples a row, R = B*K sample rows with r = b*K + k, D data width, L latent width; [A] is
/// activation_type(), in which batches, layers' inputs and results, logits and their gradients are given and returned,
/// everything else being f32. What lies in memory as bf16 is computed in float32 and rounded once, to nearest even; but
/// where a kernel goes on with a product of linear() or linear_backward(), the product lies in memory between them and
/// is rounded too.
/// stats [B, 2L] = mu | logvar of the posterior q(z|x) = N(mu, exp(logvar)); logvar is clamped to [kLogVarMin,
/// kLogVarMax]. A gradient of the loss by a clamped value is that at the bound where the value lies outside, and 0
/// there when a step against it would lead further out: what got outside comes back. Views lie in the backend's memory
/// and do not overlap unless an op says that they may. All log-densities and KLs are in nats. Ops may be asynchronous;
/// synchronize() waits. Every public op checks its shapes and throws Error before anything is computed.
class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  /// "cpu", "cuda:0".
  virtual std::string name() const = 0;
  /// The processor in words, for logs and benchmark records.
  virtual std::string description() const = 0;
  /// [A]: f32, or bf16 where the backend was made with Precision::bf16.
  virtual DType activation_type() const { return DType::f32; }
  /// Whether ops may be given pointers to the host's memory.
  virtual bool reads_host_memory() const = 0;

  Buffer allocate(std::size_t bytes);  ///< zeroed; throws Error when there is not enough memory
  void upload(void* device, const void* host, std::size_t bytes);
  void download(void* host, const void* device, std::size_t bytes);
  void zero(void* device, std::size_t bytes);
  void synchronize();

  /// Bytes that could be allocated now; on the CPU, without limit.
  virtual std::size_t available_memory() const = 0;
  std::unique_ptr<DoubleBuffer> make_double_buffer(std::size_t bytes_of_a_half);

  /// Runs `work` `times` times. Its ops must be the same with the same pointers and shapes in every call with one
  /// recording, and it must not allocate, upload, download or wait: a backend that records() runs it once, records it,
  /// and from then on replays what it recorded in place of calling it.
  void replay(Recording& recording, const std::function<void()>& work, Index times = 1) {
    do_replay(recording.content_, work, times);
  }
  /// Whether replay() only queues work, so that it may be given much at once.
  virtual bool records() const { return false; }

  /// x [B, D] [A] = rows of pixels [N, D], u8 (divided by 255) or f32, chosen by `rows` and binarized in the same pass.
  /// The uniform of a stochastic binarization has index (noise.first_row + b) * D + d, and gives 1 where u <= pixel (so
  /// that 0 and 1 are exact: the float32 u is in (0, 1]); a pixel outside [0, 1], which is no probability, gives NaN
  /// in both binarizations. The entries of rows.order must be below N: they lie in the
  /// backend's memory and are not checked.
  void gather_batch(ConstView pixels, const BatchRows& rows, Binarize binarize, const Noise& noise, View x);

  /// y [B, O] = act(x w^T + b), x [B, I] [A], w [O, I] [A], b [1, O]. `pre` [B, O] receives x w^T + b; it is needed
  /// where needs_pre_activation(act), and may be empty elsewhere. y is [A] or f32, b and pre are as y is.
  void linear(ConstView x, ConstView w, ConstView b, Activation act, View pre, View y);

  /// The backward pass of a linear layer, from dy [B, O], the gradient at its pre-activation:
  ///   dw [O, I] = dy^T x;  db [1, O] = column sums of dy;
  ///   dx [B, I] = (dy w) * act'(below), the gradient at the pre-activation of the layer below, whose result is x and
  ///   whose activation is `below`, with pre-activation `below_pre` where needs_pre_activation(below).
  /// An empty dx is not computed. x, w, dy and below_pre are [A], dw and db f32, dx [A], or f32 where `below` is the
  /// identity. (The shape of cuBLASLt's DRELU and BGRADB epilogues.)
  void linear_backward(ConstView x, ConstView w, ConstView dy, Activation below, ConstView below_pre, View dw, View db,
                       View dx);

  /// z [R, L] [A] = mu + exp(logvar/2) * eps, eps the normal with index ((noise.first_row + b) * K + k) * L + l
  /// (Kingma and Welling 2013, section 2.4), or if noise.antithetic for odd k minus that of k - 1. In the same pass,
  /// the KL to N(0, I) in closed form (their appendix B):
  ///   kl_dim = (mu^2 + exp(logvar) - logvar - 1) / 2;  kl [B, 1] its sum over l;  kl_dims [1, L] its mean over the
  ///   batch.
  /// Also merges stats, as they stand, into `moments` [1 + 4L] where given: see moments(). And where given, both or
  /// neither, the log-densities of each sample, log_p_z [R, 1] = log N(z; 0, I) and log_q [R, 1] = log q(z|x), of z
  /// before its rounding to bf16; and where given with them score_norm [R, 1] = sum_l eps^2 exp(-logvar) + (eps^2 -
  /// 1)^2 / 4, the squared norm of the score of q, d log q / d stats.
  void sample_latent(ConstView stats, const Noise& noise, View z, View kl, View kl_dims, double* moments = nullptr,
                     View log_p_z = {}, View log_q = {}, View score_norm = {});

  /// dstats [B, 2L] [A], the loss's gradient by the posterior's statistics, from dz [R, L], its gradient through the
  /// decoder. Draws the same eps again; sigma = exp(logvar/2), z = mu + sigma eps before rounding:
  ///   path = t (dz + w (z - e eps / sigma))
  ///   dmu     =      sum_k [path - c eps / sigma] + s mu
  ///   dlogvar = 1/2 (sum_k [path sigma eps - (1 - e) t w - c (eps^2 - 1)] + s (sigma^2 - 1) - h),
  ///   s = kl_scale * beta(*step), 0 in dimensions with kl_dims below the free bits.
  /// By default dmu = sum_k dz + s mu, dlogvar = 1/2 (sum_k dz sigma eps + s (sigma^2 - 1)). dz may be empty where t is
  /// 0 for all rows. cuvae/estimator.h has the terms of each estimator.
  /// With terms.optimal_baseline, K >= 2 and a score for each row, c_k is less the baseline sum_{j != k} c_j s_j^2 /
  /// sum_{j != k} s_j^2, s = eps in dmu and eps^2 - 1 in dlogvar: the constant of least variance of that coordinate, as
  /// the row's other samples have it (Ranganath et al. 2014). Where all their s are 0, it is their mean.
  void latent_backward(const LatentTerms& terms, ConstView stats, const Noise& noise, ConstView dz,
                       const KlWeight& weight, ConstView kl_dims, float kl_scale, View dstats);

  /// The points, besides the samples, at which an estimator evaluates log p(x|z): probes [B * n, L] [A], n =
  /// probes_of_example(estimator, K, L), rows of an example together. `noise` is that of sample_latent.
  ///   measure-valued: four for each sample and latent l, the sample as it was drawn with its coordinate l replaced by
  ///   mu + sigma {W, -W', m, v}: W and W' Rayleigh(1), m a random sign times the norm of three normals, v normal; both
  ///   W are one and v = m U where coupled (Mohamed et al. 2020, section 6). The numbers are words 8 i to 8 i + 7 of
  ///   the stream `estimator`, i the index of the sample's normal: for W, W', U and the sign (positive from 1/2 on),
  ///   then four normals.
  ///   delta: mu, then for each latent l mu + sigma_l e_l and mu - sigma_l e_l.
  /// As bf16 a point is off by up to 2^-9 of itself: where a sigma is not well above that, float32 is for these.
  void place_probes(Estimator estimator, ConstView stats, const Noise& noise, View probes);

  /// dstats [B, 2L] [A] of the loss -mean(log p(x|z)) + KL, from log_p_probes [B * n, 1], log p(x|z) at the probes
  /// (f with a subscript), and for delta log_p [R, 1], that of the samples (f):
  ///   dmu     =     -(1/R) sum_k shift / sigma + s mu
  ///   dlogvar = 1/2 (-(1/R) sum_k scale + s (sigma^2 - 1)), s as in latent_backward;
  ///   measure-valued: shift = (f_1 - f_2) / sqrt(2 pi), scale = f_3 - f_4;
  ///   delta: shift = (f - h) eps + a, scale = (f - h) (eps^2 - 1) + c, h = f_0 + sum_l a eps + c eps^2 / 2,
  ///   a = (f_+ - f_-) / 2, c = f_+ - 2 f_0 + f_-.
  /// The quadratic h goes through values a standard deviation apart rather than following the derivatives at mu: its
  /// expectation is known whatever its coefficients are, so that the estimate is unbiased, and this one fits over the
  /// width of the posterior. Curvature across latents is left to the score.
  void probe_backward(Estimator estimator, ConstView stats, const Noise& noise, ConstView log_p, ConstView log_p_probes,
                      const KlWeight& weight, ConstView kl_dims, float kl_scale, View dstats);

  /// log_p [R, 1] = sum_d x l - softplus(l), l = logits [R, D] [A], x [B, D] [A] in [0, 1], NaN where an x is not; in
  /// the same pass, where
  /// given, dlogits [R, D] [A] = row_weight[r] * (x - sigmoid(l)), which may be the logits themselves, and the step's
  /// loss. (Rows of a K-sample bound are weighted by their normalized importance weights, those of an ELBO alike.)
  void bernoulli_log_prob(ConstView logits, ConstView x, const RowFactor& row_weight, View log_p, View dlogits,
                          const ElboLoss* loss = nullptr);

  /// mean [R, D] [A], x [B, D] [A]; log_p [R, 1] = -sum_d ((x - mean)/s)^2/2 + log s + log(2 pi)/2, s = exp(log_scale),
  /// log_scale [1, 1] or [1, D], clamped to [kLogScaleMin, kLogScaleMax] where it is `learned`. In the same pass, where
  /// given, dmean [R, D] [A] (may be the mean) and dlog_scale (shaped as log_scale, of a learned one), gradients of the
  /// sum of row_weight[r] log_p[r], a loss that descent makes smaller, and the step's loss.
  void gaussian_log_prob(ConstView mean, ConstView x, ConstView log_scale, const RowFactor& row_weight, View log_p,
                         View dmean, View dlog_scale, const ElboLoss* loss = nullptr, bool learned = true);

  /// What a bound over K = R/B samples a row makes of their log-densities [R, 1], log w = log p(x|z) + log p(z) - log
  /// q(z|x): bound [B, 1] = log mean_k w (Burda et al. 2015, section 3), weights [R, 1] = w / sum_k w, and where given
  /// the effective sample size [B, 1] = 1 / sum_k weights^2, from 1 to K (Kong 1992). The largest w is taken out, so
  /// that nothing overflows. In the same pass, where given, the step's loss: -mean(bound), in place of the ELBO's.
  void importance_weights(ConstView log_p_x, ConstView log_p_z, ConstView log_q, View bound, View weights,
                          View effective, const ElboLoss* loss = nullptr);

  /// score [R, 1], what each sample's score counts for (c times R, or B for VIMCO, see latent_backward), f being the
  /// cost of a sample:
  ///   score f;  score_mean f - baseline.mean, which then takes this batch in;  rloo f_k - mean_{j != k} f_j;
  ///   optimal f_k - f_0 of the row, for latent_backward with optimal_baseline;
  ///   optimal_shared f_k - sum_{j != k} f_j n_j / sum_{j != k} n_j, n = baseline.score_norm, or as rloo where all
  ///   those n are 0;
  ///   nvil l = f - baseline.network of the row - baseline.mean;  nvil_scaled l / max(1, sqrt(baseline.variance));
  ///   vimco L - L_k - weights_k, L the bound and L_k the bound without sample k, in whose place comes the others'
  ///   geometric or arithmetic mean.
  /// After nvil and nvil_scaled the running mean and variance take in those of f - network over this batch, and where
  /// given baseline.dnetwork [B, 1] = -2/R sum_k l_k, the gradient of mean(l^2) by the network.
  /// Throws Error for other estimators, and for fewer `samples` K than least_samples(estimator). A batch whose mean
  /// cost is not finite leaves the running means as they were.
  void score_weights(Estimator estimator, Cost cost, ConstView log_p_x, ConstView log_p_z, ConstView log_q,
                     Index samples, const ScoreBaseline& baseline, View score);

  /// Adam, AdamW or SGD over the whole arena, learning rate and bias correction from `state`. Changes no parameter when
  /// loss[0] or the square of the gradients' global norm is not a finite float32. Then advances `state`, and adds the
  /// norm to `sums` on an update. Does nothing at all, nor counts the step, after step.max_skipped such steps in a row.
  void adam(const Arena& arena, const OptimizerStep& step, const float* loss, StepState* state, double* sums);

  /// to [A], bf16 = from rounded: a copy of parameters for products. Only where activation_type() is bf16.
  void round_to_bf16(ConstView from, View to);

  /// Merges the rows of x [B, C] into `acc`, doubles [1 + 2C] = count, means, sums of squared deviations: Chan et al.
  /// 1983.
  void moments(ConstView x, double* acc);

 protected:
  Backend() = default;

 private:
  friend class Buffer;
  virtual void* do_allocate(std::size_t bytes) = 0;
  virtual void do_free(void* p) noexcept = 0;
  virtual void do_upload(void* device, const void* host, std::size_t bytes) = 0;
  virtual void do_download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void do_zero(void* device, std::size_t bytes) = 0;
  virtual void do_synchronize() = 0;
  virtual std::unique_ptr<DoubleBuffer> do_make_double_buffer(std::size_t bytes_of_a_half) = 0;
  virtual void do_replay(std::unique_ptr<Recording::Content>& /*content*/, const std::function<void()>& work,
                         Index times) {
    for (Index i = 0; i < times; ++i) work();
  }
  virtual void do_gather_batch(ConstView pixels, const BatchRows&, Binarize, const Noise&, View x) = 0;
  virtual void do_linear(ConstView x, ConstView w, ConstView b, Activation, View pre, View y) = 0;
  virtual void do_linear_backward(ConstView x, ConstView w, ConstView dy, Activation below, ConstView below_pre,
                                  View dw, View db, View dx) = 0;
  virtual void do_sample_latent(ConstView stats, const Noise&, View z, View kl, View kl_dims, double* moments,
                                View log_p_z, View log_q, View score_norm) = 0;
  virtual void do_latent_backward(const LatentTerms&, ConstView stats, const Noise&, ConstView dz, const KlWeight&,
                                  ConstView kl_dims, float kl_scale, View dstats) = 0;
  virtual void do_place_probes(Estimator, ConstView stats, const Noise&, View probes) = 0;
  virtual void do_probe_backward(Estimator, ConstView stats, const Noise&, ConstView log_p, ConstView log_p_probes,
                                 const KlWeight&, ConstView kl_dims, float kl_scale, View dstats) = 0;
  virtual void do_bernoulli_log_prob(ConstView logits, ConstView x, const RowFactor& row_weight, View log_p,
                                     View dlogits, const ElboLoss* loss) = 0;
  virtual void do_gaussian_log_prob(ConstView mean, ConstView x, ConstView log_scale, const RowFactor& row_weight,
                                    View log_p, View dmean, View dlog_scale, const ElboLoss* loss, bool learned) = 0;
  virtual void do_importance_weights(ConstView log_p_x, ConstView log_p_z, ConstView log_q, View bound, View weights,
                                     View effective, const ElboLoss* loss) = 0;
  /// Without log_q, f is the joint's; without log_p_z either, the likelihood's. Of the baseline only what the estimator
  /// takes is given.
  virtual void do_score_weights(Estimator, ConstView log_p_x, ConstView log_p_z, ConstView log_q, Index samples,
                                const ScoreBaseline&, View score) = 0;
  virtual void do_adam(const Arena&, const OptimizerStep&, const float* loss, StepState*, double* sums) = 0;
  virtual void do_round_to_bf16(ConstView /*from*/, View /*to*/) {}
  virtual void do_moments(ConstView x, double* acc) = 0;
};

/// "cpu", "cuda", "cuda:1", or "auto": the first CUDA device if this build can use it, else the CPU. `threads` are the
/// CPU's, 0 takes OpenMP's number. Throws Error for a device that is not there.
std::unique_ptr<Backend> make_backend(const std::string& device = "auto", int threads = 0,
                                      Precision precision = Precision::fp32);

/// A CUDA backend that works on the caller's stream: a cudaStream_t of device `ordinal` (a void* here, so that this
/// header needs no CUDA), which must outlive it; null makes one of its own. Ops then take device pointers of the
/// caller's as they are, in the order of that stream. Throws Error in a build without CUDA.
std::unique_ptr<Backend> make_cuda_backend(int ordinal, void* stream, Precision precision = Precision::fp32);

}  // namespace cuvae

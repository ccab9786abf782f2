// Training: one step, and the loop of epochs around it.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"
#include "cuvae/probes.h"
#include "cuvae/vae.h"

namespace cuvae {

class InputBaseline;

/// A learning-rate schedule in passes over the data; see LearningRate for the formulas.
struct Schedule {
  LearningRate::Kind kind = LearningRate::Kind::constant;
  double rate = 1e-3, final_rate = 0.0;
  double warmup_epochs = 0.0;                     ///< cosine
  double decay = 0.5, every_epochs = 10.0;        ///< step
  std::vector<std::pair<double, double>> pieces;  ///< (passes, rate), at most LearningRate::kMaxPieces
  double epochs = 0.0;  ///< cosine: its length; 0: TrainConfig::epochs, fixed when the trainer is made

  void validate() const;  ///< throws Error naming the first value that is out of range
  bool operator==(const Schedule&) const = default;
};

struct TrainConfig {
  std::uint64_t seed = 0;
  Index batch = 128;  ///< B
  Index samples = 1;  ///< K latent samples per example
  Index epochs = 20;
  /// How the encoder's gradient is estimated; from iwae on, the loss is the bound over the K samples in place of the
  /// ELBO. Where the KL is not in closed form (has_closed_form_kl), beta must be 1, without warm-up and free bits: it
  /// is of samples, not by dimension.
  Estimator estimator = Estimator::pathwise;
  Cost cost = Cost::elbo;   ///< of score functions
  bool antithetic = false;  ///< samples in pairs at eps and -eps: K even, and an estimator that allows_antithetic()
  Binarize binarize = Binarize::stochastic;
  /// What the data are divided by (Dataset::divided_by); 0: uint8 by 255, floats not at all. fit() checks that they
  /// are.
  float pixel_scale = 0;
  float beta = 1.0f;
  double kl_warmup_epochs = 0.0;  ///< beta grows linearly from 0 over these
  float free_bits = 0.0f;         ///< nats per latent dimension
  Optimizer optimizer = Optimizer::adam;
  Schedule schedule;
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  float weight_decay = 0.0f, clip_norm = 0.0f, ema_decay = 0.0f;
  bool output_bias_from_data = false;
  /// fit() brings each column to mean 0 and standard deviation 1 over the training examples, those held out not among
  /// them: see Standardization. Metrics and evaluations stay in the data's units. Gaussian likelihoods, binarize none.
  bool standardize = false;
  double validation = 0.0;     ///< share of the examples held out, in [0, 1)
  Index patience = 0;          ///< epochs without a better validation ELBO, of bounds too, before stopping; 0: never
  Index log_every = 100;       ///< steps between progress reports; 0: only at the end of an epoch
  Index checkpoint_every = 1;  ///< epochs between "last" checkpoints
  Index max_skipped = 20;      ///< steps in a row without a finite loss and gradient that end the run

  /// Throws Error naming the first value that is out of range.
  void validate() const;
  bool operator==(const TrainConfig&) const = default;
};

/// Throws Error where the two, each in range, do not go together.
void validate(const VaeConfig& model, const TrainConfig& training);

/// Means over the steps since the start of the epoch (or the last reset) whose loss was finite, in nats per example.
/// A mean over no steps is NaN.
struct Metrics {
  std::uint64_t steps = 0;              ///< steps that the means are over
  std::uint64_t updates = 0;            ///< steps that changed the parameters: their gradient was finite too
  double loss = 0, reconstruction = 0;  ///< loss is -ELBO or -bound; reconstruction is E_q log p(x|z)
  double kl = 0;                        ///< in closed form, whatever the estimator of its gradient
  std::vector<double> kl_dims;          ///< per latent dimension
  Index active_units = 0;               ///< dimensions whose posterior mean varies: Var_x mu > 0.01, Burda et al. 2015
  Index clamped_units = 0;              ///< dimensions whose log variance lies on average at or outside of its clamp
  double gradient_norm = 0;             ///< before clipping, over the updates
  std::uint64_t skipped = 0;            ///< non-finite steps since the start of the run
};

struct Progress {
  Index epoch = 0, epochs = 0;  ///< epoch counts from 1
  std::uint64_t step = 0, total_steps = 0;
  bool epoch_end = false;
  double seconds = 0;              ///< since fit() began
  double examples_per_second = 0;  ///< over the last interval
  double learning_rate = 0, beta = 0;
  Metrics train;
  std::optional<Evaluation> validation;  ///< at the end of an epoch, when examples are held out
  bool best = false;                     ///< this epoch's validation ELBO is the best so far
};

enum class Outcome { finished, early_stopped, interrupted };

struct FitOptions {
  std::filesystem::path checkpoints;  ///< folder for last.safetensors and best.safetensors; empty: none
  std::function<void(const Progress&)> on_progress;
  /// Set from a signal handler: stop with a checkpoint, on the CPU after this step, on a GPU after those that it was
  /// given: up to an epoch.
  const std::atomic<bool>* stop = nullptr;
  /// Bytes of a GPU's memory that the data set may take; a larger one is streamed. 0: what is free.
  std::size_t data_memory = 0;
  /// Called before each checkpoint is written, on this thread: what was reported is to be on the disk before it.
  std::function<void()> before_checkpoint = {};
};

/// How many of `rows` examples are trained on when config.validation of them are held out. Throws Error when a share
/// above 0 holds out none.
Index training_examples(const TrainConfig& config, Index rows);

class Trainer {
 public:
  /// `examples` in one pass fixes the meaning of an epoch: examples / batch steps (a remainder waits for another
  /// shuffle).
  Trainer(Backend& backend, const VaeConfig& model, const TrainConfig& config, Index examples);
  /// For fit() on this data: the examples that config.validation leaves to train on.
  Trainer(Backend& backend, const VaeConfig& model, const TrainConfig& config, const Dataset& data)
      : Trainer(backend, model, config, training_examples(config, data.rows())) {}
  Trainer(Trainer&&) noexcept;
  ~Trainer();
  /// Continues from a checkpoint, bit for bit.
  static Trainer resume(Backend& backend, const std::filesystem::path& checkpoint);

  Vae& vae() { return vae_; }
  const TrainConfig& config() const { return config_; }
  /// For resuming with more epochs or another rate; a cosine keeps its length, schedule.epochs. Seed, batch, samples,
  /// estimator, cost, antithetic and validation must stay for resumed runs to repeat.
  TrainConfig& mutable_config() { return config_; }

  /// One update on the caller's batch x [B, D] in the backend's memory: u8 or f32, binarized as configured. What is to
  /// be standardized must be so already: x is in the model's units.
  /// Throws Error, as fit() does, when the configuration is out of range, when x has values outside [0, 1] that must be
  /// probabilities (Bernoulli likelihood, binarization), and after max_skipped steps in a row that were not
  /// finite. A backend that queues its work (CUDA) is not waited for: there such values make the loss NaN, so that the
  /// step is skipped and counted; the device itself does nothing after max_skipped of these, and step() throws once
  /// state(), metrics() or save() has seen that.
  void step(ConstView x);

  /// The loss's gradient by all parameters, [1, P] in the order of vae().layout(), on such a batch. Changes no
  /// parameter; running means, metrics and moments take the batch in.
  /// Asynchronous; the next call or step overwrites it.
  ConstView gradient(ConstView x);
  /// A gradient, and a step of what the estimator learns beside the model, the network of nvil and nvil_scaled, by the
  /// same batch. The model stays.
  void fit_baseline(ConstView x);
  /// Names the noise of the next step or gradient, and its place in the schedules.
  void set_step(std::uint32_t step);

  /// Epochs until config().epochs, early stopping, or a stop request. Holds out config().validation of the examples.
  /// Throws Error after exactly max_skipped steps in a row that were not finite; the last good checkpoint stays. A
  /// backend that queues its work is asked at each report and at the end of an epoch; its device stops by itself.
  Outcome fit(const Dataset& data, const FitOptions& options = {});

  Metrics metrics();     ///< reads the device's sums; waits for it
  void reset_metrics();  ///< starts new means
  StepState state();     ///< waits for the device
  Index steps_per_epoch() const { return steps_per_epoch_; }
  Index total_steps() const;  ///< of config().epochs; throws Error when they are more than can be counted
  /// Throws Error unless `data` fit this run and are those of its checkpoint; returns their checksum. fit() begins so.
  std::uint32_t check(const Dataset& data) const;

  /// Writes parameters, optimizer state, counters, configuration: everything that resume() needs.
  void save(const std::filesystem::path& path);

 private:
  ConstView checked_batch(const char* op, ConstView x);
  void backward(ConstView x);
  void update(ConstView x);
  void learn_baseline(ConstView x);
  LatentTerms estimate(View output, ConstView x, const ElboLoss& loss);
  void check_config(const char* op);
  void require_unchanged(const char* op) const;
  void check_divergence(const char* op);

  Backend& backend_;
  TrainConfig config_, checked_;  // the one in use, and the last that was found to be in range
  Estimator estimator_;           // what the buffers are made for
  Index examples_, steps_per_epoch_;
  Vae vae_;
  VaeActivations activations_;
  VaeGradients gradients_;
  Buffer x_;                                 // [B, D]
  Buffer grads_, m_, v_, ema_;               // arenas beside the model's parameters
  Buffer state_, loss_, sums_;               // StepState, one float, doubles (metric::Slot)
  Buffer moments_, step_moments_;            // of stats, of the counted steps and of the one under way
  Buffer bound_, weights_;                   // [B, 1], [R, 1] for importance-weighted estimators
  Buffer score_, running_mean_;              // [R, 1] for score functions, RunningMean for score_mean
  StepState seen_;                           // when the host last looked
  std::unique_ptr<InputBaseline> baseline_;  // for nvil and nvil_scaled
  Probes probes_;                            // of estimators that use them

  // Where fit() stands, kept in checkpoints.
  std::uint32_t data_crc32_ = 0;
  double best_elbo_ = -std::numeric_limits<double>::infinity();  // of the validation examples
  Index epochs_without_gain_ = 0;
};

}  // namespace cuvae

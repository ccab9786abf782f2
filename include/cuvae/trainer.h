// Training: one step, and the loop over epochs.
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

#include "cuvae/bound.h"
#include "cuvae/dataset.h"
#include "cuvae/evaluate.h"
#include "cuvae/group.h"
#include "cuvae/probes.h"
#include "cuvae/vae.h"

namespace cuvae {

class EncoderGradient;
struct PosteriorGradient;
struct Phase;
struct SampleGroups;

/// A learning-rate schedule in passes over the data; see LearningRate for the formulas.
struct Schedule {
  LearningRate::Kind kind = LearningRate::Kind::constant;
  double rate = 1e-3, final_rate = 0.0;
  double warmup_epochs = 0.0;                     ///< for cosine
  double decay = 0.5, every_epochs = 10.0;        ///< for step
  std::vector<std::pair<double, double>> pieces;  ///< (passes, rate), at most LearningRate::kMaxPieces
  double epochs = 0.0;  ///< length of a cosine; 0: TrainConfig::epochs at the time when the trainer is made

  void validate() const;  ///< throws Error naming the first value that is out of range
  bool operator==(const Schedule&) const = default;
};

struct TrainConfig {
  std::uint64_t seed = 0;
  Index batch = 128;  ///< B
  Index samples = 1;  ///< K latent samples per example; with miwae and piwae per bound
  Index bounds = 1;   ///< M bounds per example, M K samples in all; must be 1 unless the objective is miwae or piwae
  Index epochs = 20;
  /// What is optimized; variational: what the estimator belongs to. objective_of() names it. The loss is minus the ELBO
  /// or the bound; with piwae and rws it is that of the generative network, minus the IWAE bound over all samples. With
  /// wake_sleep, beta must be 1, and warm-up and free bits 0. A sleep phase needs a standard normal prior.
  Objective objective = Objective::variational;
  /// How the encoder's gradient is estimated; go_together() says with which objective, and estimator_of() what pathwise
  /// and stl stand for with a bound. Beta must be 1 and the warm-up 0 unless takes_kl_weight(), and free bits must be 0
  /// unless has_closed_form_kl().
  Estimator estimator = Estimator::pathwise;
  float elbo_share = 0.5f;  ///< s in [0, 1], of ciwae: s ELBO + (1 - s) IWAE. Must be the default otherwise
  float sleep_share = 0;    ///< s in [0, 1], of rws: the sleep phase's share of the encoder's gradient. Otherwise 0
  Cost cost = Cost::elbo;   ///< of a score-function estimator
  bool antithetic = false;  ///< samples in pairs at eps and -eps; K must be even, see EstimatorTraits::antithetic
  Binarize binarize = Binarize::stochastic;
  /// The divisor of the data (Dataset::divided_by); 0: uint8 is divided by 255, floats are unchanged. fit() checks that
  /// the data were divided by it.
  float pixel_scale = 0;
  float beta = 1.0f;
  double kl_warmup_epochs = 0.0;  ///< beta grows linearly from 0 over these epochs
  float free_bits = 0.0f;         ///< KL per latent dimension that is not penalized, in nats
  /// adam_iwae has the published setting with beta1 0.99 and epsilon 1e-4. As in its code, epsilon and the start of v,
  /// one, are those of the gradient's sum over the batch, not of its mean.
  Optimizer optimizer = Optimizer::adam;
  Schedule schedule;
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  float weight_decay = 0.0f, clip_norm = 0.0f, ema_decay = 0.0f;
  float clip_value = 0.0f;  ///< each gradient is clamped to [-clip_value, clip_value], after clip_norm; 0: none
  bool output_bias_from_data = false;
  /// fit() scales each column to mean 0 and standard deviation 1 over the training examples, without those held out:
  /// see Standardization. Metrics and evaluations stay in the data's units. The likelihood must be Gaussian, and
  /// binarize must be none.
  bool standardize = false;
  double validation = 0.0;     ///< fraction of the examples that is held out, in [0, 1)
  Index patience = 0;          ///< stop after this many epochs without a better validation, see Progress; 0: never
  Index log_every = 100;       ///< steps between progress reports; 0: only at the end of an epoch
  Index checkpoint_every = 1;  ///< epochs between "last" checkpoints
  Index max_skipped = 20;      ///< the run ends after this many steps in a row without a finite loss and gradient

  /// Throws Error naming the first value that is out of range, or that does not go with the objective.
  void validate() const;
  bool operator==(const TrainConfig&) const = default;
};

/// The samples of the IWAE bound that validation follows: K, for piwae M K. It has the mean of a MIWAE bound, and is at
/// least a CIWAE bound.
Index validation_samples(const TrainConfig& config);

/// Throws Error if the two configurations do not fit together. Each must be valid by itself.
void validate(const VaeConfig& model, const TrainConfig& training);

/// The objective by its own name: never variational.
Objective objective_of(const TrainConfig& config);

/// The same settings in the form that a Trainer and its checkpoints keep: `estimator` is estimator_of() the objective,
/// and the objective is variational where that estimator alone says it. Settings that mean the same become equal.
TrainConfig resolved(TrainConfig config);

/// Means over the steps with a finite loss since the start of the epoch, or since the last reset. In nats per example.
/// A mean over no steps is NaN.
struct Metrics {
  std::uint64_t steps = 0;              ///< number of these steps
  std::uint64_t updates = 0;            ///< steps that changed the parameters: their gradient was also finite
  double loss = 0, reconstruction = 0;  ///< loss is -ELBO or -bound; reconstruction is E_q log p(x|z)
  double kl = 0;                        ///< in closed form where the model has one, for every estimator
  std::vector<double> kl_dims;          ///< KL per latent dimension; empty where the KL has no closed form
  Index latent = 0;                     ///< L, the number of dimensions of z_1
  Index active_units = 0;     ///< dimensions of z_1 whose posterior mean varies: Var_x mu > 0.01, Burda et al. 2015
  Index clamped_units = 0;    ///< dimensions whose mean log variance is at its clamp or outside; 0 of Bernoulli units
  double gradient_norm = 0;   ///< before clipping, mean over the updates
  std::uint64_t skipped = 0;  ///< non-finite steps since the start of the run
};

struct Progress {
  Index epoch = 0, epochs = 0;  ///< epoch counts from 1
  std::uint64_t step = 0, total_steps = 0;
  bool epoch_end = false;
  double seconds = 0;              ///< since fit() began
  double examples_per_second = 0;  ///< over the last interval
  double learning_rate = 0, beta = 0;
  Metrics train;
  std::optional<Evaluation> validation;  ///< at the end of an epoch, if examples are held out
  /// The IWAE bound over validation_samples(), if the estimator is of a bound. Has as many examples.
  std::optional<BoundEvaluation> validation_bound;
  bool best = false;  ///< whether this epoch's validation_bound, or else its validation's ELBO, is the best so far
};

enum class Outcome { finished, early_stopped, interrupted };

struct FitOptions {
  std::filesystem::path checkpoints;  ///< folder for last.safetensors and best.safetensors; empty: none
  std::function<void(const Progress&)> on_progress;
  /// May be set by a signal handler: fit() then writes a checkpoint and returns. The CPU finishes the current step; a
  /// GPU finishes the steps that are queued, at most an epoch.
  const std::atomic<bool>* stop = nullptr;
  /// GPU memory that the data set may use, in bytes; a larger data set is streamed. 0: all that is free.
  std::size_t data_memory = 0;
  /// Called on this thread before each checkpoint is written. The caller can sync its log of the reports here.
  std::function<void()> before_checkpoint = {};
};

/// The number of training examples among `rows` when the fraction config.validation is held out. Throws Error if the
/// fraction is above 0 but holds out no example.
Index training_examples(const TrainConfig& config, Index rows);

class Trainer {
 public:
  /// `examples` is the number in one pass. An epoch has examples / batch steps, rounded down; the shuffle of each epoch
  /// decides which examples are left out. With a `group`, which must outlive the trainer, config.batch is the batch of
  /// all ranks together, a multiple of their number, and this rank computes B / size rows of it. All ranks must have
  /// the same settings and make the same calls.
  Trainer(Backend& backend, const VaeConfig& model, const TrainConfig& config, Index examples, Group* group = nullptr);
  /// For fit() on this data: the number of examples without those that config.validation holds out.
  Trainer(Backend& backend, const VaeConfig& model, const TrainConfig& config, const Dataset& data,
          Group* group = nullptr)
      : Trainer(backend, model, config, training_examples(config, data.rows()), group) {}
  Trainer(Trainer&&) noexcept;
  ~Trainer();
  /// Continues from a checkpoint, bit for bit.
  static Trainer resume(Backend& backend, const std::filesystem::path& checkpoint, Group* group = nullptr);

  Vae& vae() { return vae_; }
  const TrainConfig& config() const { return config_; }  ///< resolved()
  /// Changes what may change during a run: epochs, schedule, reports, weight of the KL and settings of the optimizer. A
  /// cosine keeps its length, schedule.epochs. Throws Error, and changes nothing, if a setting is out of range, or if
  /// seed, batch, samples, bounds, objective, its shares, estimator, cost, antithetic, binarize, pixel_scale,
  /// optimizer, standardize, validation, or whether weights are averaged differ from those that the trainer was made
  /// with.
  void configure(const TrainConfig& config);

  /// One update on the caller's batch x [B, D], or this rank's rows of it, in the backend's memory: u8 or f32, in the
  /// model's units, binarized as configured. Standardization must already be applied. A conditional model also needs
  /// the `conditions` [B, C], f32 or u8 (divided by 255); others take none. Throws Error if x must be in [0, 1], for
  /// the likelihood or binarization, but is not, and after max_skipped steps in a row that were not finite. step() does
  /// not wait for a backend that queues its work (CUDA). There, values outside [0, 1] make the loss NaN or infinite,
  /// and the step is skipped and counted. After max_skipped such steps the device does nothing more, and step() throws
  /// once state(), metrics() or save() was called. Where the model takes missing values, NaN in x is one.
  void step(ConstView x, ConstView conditions = {});

  /// The gradient of the loss by all parameters, [1, P] in the order of vae().layout(), for a batch as in step().
  /// Changes no parameter and no metric; the running means of the estimator's baseline only where asked for.
  /// Asynchronous; the next call or step overwrites the result.
  ConstView gradient(ConstView x, RunningMeans running = RunningMeans::keep) { return gradient(x, {}, running); }
  ConstView gradient(ConstView x, ConstView conditions, RunningMeans running = RunningMeans::keep);
  /// Trains what the estimator learns in addition to the model, the network of nvil and nvil_scaled, for one step on
  /// this batch, and updates its running means. Computes a gradient as gradient() does. The model does not change.
  void fit_baseline(ConstView x, ConstView conditions = {});
  /// Sets the step counter, which selects the noise and the schedules of the next step or gradient.
  void set_step(std::uint32_t step);

  /// Trains until config().epochs, early stopping, or a stop request. Holds out the fraction config().validation.
  /// Throws Error after exactly max_skipped steps in a row that were not finite; the last good checkpoint stays. A
  /// backend that queues its work stops by itself; fit() notices at the next report or at the end of the epoch.
  Outcome fit(const Dataset& data, const FitOptions& options = {});

  Metrics metrics();     ///< waits for the device
  void reset_metrics();  ///< starts new means
  StepState state();     ///< waits for the device
  Index steps_per_epoch() const { return steps_per_epoch_; }
  Index total_steps() const;  ///< of config().epochs; throws Error if there are more than the counter holds
  /// Throws Error unless `data` fit this run and have the checksum of its checkpoint. Returns the checksum. Called by
  /// fit().
  std::uint32_t check(const Dataset& data) const;

  /// Writes a checkpoint: parameters, optimizer state, counters, configuration and all else that resume() needs. In a
  /// group, all ranks call it and the first one writes.
  void save(const std::filesystem::path& path);

 private:
  ConstView checked_batch(const char* op, ConstView x, ConstView conditions);
  /// Throws Error for an x outside [0, 1] where it must be inside: such a batch makes the loss NaN.
  void check_values(const char* op, ConstView x) const;
  /// What a gradient changes in addition.
  struct Statistics {
    RunningMeans running;
    bool metrics;
  };
  void train_on(ConstView x);  ///< backward(), reduce(), then update()
  void reduce(const Statistics& statistics);
  void update(ConstView x);
  ConstView baseline_input(ConstView x) const;
  void backward(ConstView x, const Statistics& statistics);
  void backward(const Phase& phase, ConstView x, const Statistics& statistics, Gradients gradients);
  void backward_of_data(const Phase& phase, ConstView x, const Statistics& statistics, Gradients gradients);
  void backward_of_draws(const Phase& phase, Index batch, Gradients gradients);
  /// Where the gradient by the generative network goes, and how.
  struct Decoder {
    float* grads;  ///< null where it does not learn
    Gradients gradients;
    bool needed;  ///< by a network that learns, or by the samples
  };
  void weigh(View output, ConstView x, const SampleGroups& groups, const ElboLoss& loss, RunningMeans running,
             const Decoder& decoder);
  Noise noise_of_step(Stream stream) const;
  ElboLoss elbo_loss(Index batch, const Statistics& statistics);
  PosteriorGradient posterior(std::size_t layer, const Noise& noise, const Phase& phase, Index batch,
                              const ElboLoss& loss) const;
  Index samples() const { return config_.samples * config_.bounds; }  // of an example
  Arena arena();
  Index own_rows() const;  ///< of the batch: all, or this rank's
  Index first_row() const;
  std::vector<double> all_moments();  ///< of all ranks
  void check_divergence(const char* op);

  Backend& backend_;
  TrainConfig config_;
  Group* group_;  // null: alone
  Index examples_, steps_per_epoch_;
  Vae vae_;
  VaeActivations activations_;
  VaeGradients gradients_;
  Buffer x_, drawn_;               // [B, D]; drawn_ of the sleep phase
  Buffer filled_;                  // [B, D]; of a baseline's network and missing values
  Buffer grads_, m_, v_, ema_;     // arenas with the layout of the model's parameters
  Buffer state_, loss_, sums_;     // StepState, one float, doubles (metric::Slot)
  Buffer moments_, step_moments_;  // of stats: over the counted steps, and of the current step
  Buffer unread_sums_;             // of gradients that are no step's
  Buffer step_sums_;               // of the current step, of several ranks only
  StepState seen_;                 // the state that the host read last
  std::unique_ptr<EncoderGradient> encoder_gradient_;
  Probes probes_;  // for estimators that use them

  // The progress of fit(), saved in checkpoints.
  std::uint32_t data_crc32_ = 0;
  double best_ = -std::numeric_limits<double>::infinity();  // of validation: the trained bound or the ELBO
  Index epochs_without_gain_ = 0;
};

}  // namespace cuvae

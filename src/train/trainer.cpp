// What a trainer holds, and its calls. The step itself is in step.cpp, the loop of epochs in fit.cpp.
#include "cuvae/trainer.h"

#include <algorithm>
#include <cmath>

#include "data/check_data.h"
#include "evaluate/units.h"
#include "io/text.h"
#include "train/encoder_gradient.h"
#include "train/phases.h"
#include "train/run_checks.h"
#include "train/schedule.h"

namespace cuvae {

namespace {
// The length of a schedule stays when the run is made longer.
TrainConfig with_schedule_length(TrainConfig config) {
  if (config.schedule.kind == LearningRate::Kind::cosine && config.schedule.epochs == 0)
    config.schedule.epochs = static_cast<double>(config.epochs);
  return config;
}

// Steps in an epoch, once all is known to fit; a GPU says itself what memory it has.
Index checked_steps(const Backend& backend, const VaeConfig& model, const TrainConfig& config, Index examples) {
  model.validate();
  config.validate();
  const Index steps = count_steps(config, examples);
  check_durations(config, steps);
  if (backend.reads_host_memory()) check_memory("training", training_bytes(model, config));
  return steps;
}
Group* checked(Group* group, const TrainConfig& config) {
  if (group == nullptr || group->size() == 1) return nullptr;
  if (config.batch % group->size() != 0)
    throw Error("training: batch is " + std::to_string(config.batch) + " but must be a multiple of the " +
                std::to_string(group->size()) + " ranks");
  if (config.estimator == Estimator::nvil_scaled)
    throw Error("training: the estimator is nvil-scaled, whose running variance is of one rank, but there are " +
                std::to_string(group->size()));
  return group;
}

PassNeeds needs_of(const TrainConfig& config) {
  return {.log_densities = uses_log_densities(config.estimator),
          .score_norm = traits(config.estimator).baseline == ScoreBaseline::score_norm,
          .model_draws = has_sleep(config)};
}
}  // namespace

Trainer::Trainer(Backend& backend, const VaeConfig& model, const TrainConfig& config, Index examples, Group* group)
    : backend_(backend),
      config_(with_schedule_length(resolved(config))),
      group_(checked(group, config)),
      examples_(examples),
      steps_per_epoch_(checked_steps(backend, model, config, examples)),
      vae_(backend, model, config.seed),
      activations_(vae_.allocate(own_rows(), samples(), needs_of(config_))),
      gradients_(vae_.allocate_gradients(own_rows(), samples())),
      x_(backend.allocate(static_cast<std::size_t>(own_rows() * model.data_dim) * size_of(backend.activation_type()))) {
  validate(model, config);
  total_steps();
  const std::size_t arena = static_cast<std::size_t>(vae_.layout().size()) * sizeof(float);
  const std::size_t latent = static_cast<std::size_t>(model.latent);
  grads_ = backend.allocate(arena);
  m_ = backend.allocate(arena);
  if (config.optimizer != Optimizer::sgd) v_ = backend.allocate(arena);
  if (config.optimizer == Optimizer::adam_iwae) {
    const auto batch = static_cast<float>(config.batch);
    const std::vector<float> start(arena / sizeof(float), 1.0f / (batch * batch));  // 1 of the sum over the batch
    backend.upload(v_.data(), start.data(), arena);
  }
  if (config.ema_decay > 0) {
    ema_ = backend.allocate(arena);
    std::vector<float> start(arena / sizeof(float));
    backend.download(start.data(), vae_.params(), arena);
    backend.upload(ema_.data(), start.data(), arena);
  }
  state_ = backend.allocate(sizeof(StepState));
  loss_ = backend.allocate(sizeof(float));
  sums_ = backend.allocate((metric::kl_dims + latent) * sizeof(double));
  moments_ = backend.allocate((1 + 4 * latent) * sizeof(double));
  step_moments_ = backend.allocate(moments_.bytes());
  unread_sums_ = backend.allocate(sums_.bytes());
  if (group_ != nullptr) step_sums_ = backend.allocate(sums_.bytes());
  if (has_sleep(config_)) drawn_ = backend.allocate(x_.bytes());
  const Estimator estimator = config_.estimator;
  if (uses_probes(estimator)) probes_ = Probes(vae_, estimator, own_rows(), samples());
  encoder_gradient_ =
      std::make_unique<EncoderGradient>(backend, estimator, own_rows(), samples(), model.data_dim, config.seed,
                                        config_.objective == Objective::ciwae ? config_.elbo_share : 0.0f);
  if (encoder_gradient_->network && model.missing_values) filled_ = backend.allocate(x_.bytes());
}

void Trainer::configure(const TrainConfig& config) {
  TrainConfig now = with_schedule_length(resolved(config));
  const auto fixed = [](const char* name, const std::string& value, const std::string& made_with) {
    if (value != made_with)
      throw Error(std::string("configure: ") + name + " is " + value + " but the trainer was made with " + made_with);
  };
  const auto whole = [](auto v) { return std::to_string(v); };
  const auto name = [](auto v) { return std::string(to_string(v)); };
  const auto yes = [](bool v) { return std::string(v ? "true" : "false"); };
  fixed("seed", whole(now.seed), whole(config_.seed));
  fixed("batch", whole(now.batch), whole(config_.batch));
  fixed("samples", whole(now.samples), whole(config_.samples));
  fixed("bounds", whole(now.bounds), whole(config_.bounds));
  fixed("elbo_share", number(now.elbo_share), number(config_.elbo_share));
  fixed("sleep_share", number(now.sleep_share), number(config_.sleep_share));
  fixed("estimator", name(now.estimator), name(config_.estimator));
  fixed("objective", name(objective_of(now)), name(objective_of(config_)));
  fixed("cost", name(now.cost), name(config_.cost));
  fixed("antithetic", yes(now.antithetic), yes(config_.antithetic));
  fixed("binarize", name(now.binarize), name(config_.binarize));
  fixed("pixel_scale", number(now.pixel_scale), number(config_.pixel_scale));
  fixed("optimizer", name(now.optimizer), name(config_.optimizer));
  fixed("standardize", yes(now.standardize), yes(config_.standardize));
  fixed("validation", number(now.validation), number(config_.validation));
  fixed("averaging of weights (ema_decay above 0)", yes(now.ema_decay > 0), yes(config_.ema_decay > 0));
  now.validate();
  check_durations(now, steps_per_epoch_);
  cuvae::total_steps(now, steps_per_epoch_);
  config_ = now;
}

Index Trainer::total_steps() const { return cuvae::total_steps(config_, steps_per_epoch_); }

Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Index Trainer::own_rows() const { return group_ == nullptr ? config_.batch : config_.batch / group_->size(); }
Index Trainer::first_row() const { return group_ == nullptr ? 0 : own_rows() * group_->rank(); }

namespace {
void require_unit_interval(const char* op, ConstView x, bool missing_values) {
  if (x.dtype != DType::f32) return;
  const auto inside = [&](float v) { return (v >= 0.0f && v <= 1.0f) || (missing_values && std::isnan(v)); };
  const Index at = std::find_if_not(x.f32(), x.f32() + x.size(), inside) - x.f32();
  if (at == x.size()) return;
  throw Error(std::string(op) + ": x is " + number(static_cast<double>(x.f32()[at])) + " in row " +
              std::to_string(at / x.cols) + ", column " + std::to_string(at % x.cols) +
              " but must lie in [0, 1], as the likelihood or binarization takes it");
}
}  // namespace

ConstView Trainer::checked_batch(const char* op, ConstView x, ConstView conditions) {
  if (x.rows != own_rows() || x.cols != vae_.config().data_dim)
    throw Error(std::string(op) + ": x is [" + std::to_string(x.rows) + ", " + std::to_string(x.cols) +
                "] but the model takes [" + std::to_string(own_rows()) + ", " + std::to_string(vae_.config().data_dim) +
                "]");
  const View own = vae_.conditions(own_rows(), activations_);
  if (conditions.rows != own.rows || conditions.cols != own.cols)
    throw Error(std::string(op) + ": conditions is [" + std::to_string(conditions.rows) + ", " +
                std::to_string(conditions.cols) + "] but the model takes [" + std::to_string(own.rows) + ", " +
                std::to_string(own.cols) + "]");
  if (own) backend_.run(GatherBatch{.pixels = conditions, .rows = {nullptr, own.rows, nullptr, 0}, .x = own});
  if (x.dtype != backend_.activation_type() || config_.binarize != Binarize::none) {
    const View batch = x_.view(x.rows, x.cols, backend_.activation_type());
    const Noise noise{config_.seed, Stream::binarize, &state_.as<StepState>()->step, first_row()};
    backend_.run(GatherBatch{x, {nullptr, x.rows, nullptr, 0}, config_.binarize, noise, batch});
    x = batch;
  }
  return x;
}

void Trainer::check_values(const char* op, ConstView x) const {
  if (backend_.reads_host_memory() && !std::isfinite(*loss_.as<float>()) &&
      needs_unit_interval(vae_.config(), config_.binarize))
    require_unit_interval(op, x, vae_.config().missing_values);
}

void Trainer::step(ConstView x, ConstView conditions) {
  const ConstView batch = checked_batch("step", x, conditions);
  if (static_cast<Index>(seen_.skipped_in_a_row) >= config_.max_skipped) check_divergence("step");
  constexpr Statistics statistics{.running = RunningMeans::update, .metrics = true};
  backward(batch, statistics);
  check_values("step", x);
  reduce(statistics);
  update(batch);
  if (!backend_.records()) check_divergence("step");
}

ConstView Trainer::gradient(ConstView x, ConstView conditions, RunningMeans running) {
  const Statistics statistics{.running = running, .metrics = false};
  backward(checked_batch("gradient", x, conditions), statistics);
  check_values("gradient", x);
  reduce(statistics);
  return grads_.view(1, vae_.layout().size());
}

void Trainer::fit_baseline(ConstView x, ConstView conditions) {
  const ConstView batch = checked_batch("fit_baseline", x, conditions);
  constexpr Statistics statistics{.running = RunningMeans::update, .metrics = false};
  backward(batch, statistics);
  check_values("fit_baseline", x);
  reduce(statistics);
  encoder_gradient_->learn(baseline_input(batch), optimizer_step(config_, steps_per_epoch_).learning_rate,
                           loss_.as<float>(), group_);
}

void Trainer::set_step(std::uint32_t step) { backend_.upload(&state_.as<StepState>()->step, &step, sizeof step); }

Metrics Trainer::metrics() {
  const std::size_t latent = static_cast<std::size_t>(vae_.config().latent);
  std::vector<double> s(metric::kl_dims + latent);
  backend_.download(s.data(), sums_.data(), s.size() * sizeof(double));
  const double steps = s[metric::steps];  // means over none are 0 / 0
  Metrics m;
  m.steps = static_cast<std::uint64_t>(steps);
  m.updates = static_cast<std::uint64_t>(s[metric::updates]);
  const double log_volume = vae_.standardization().log_volume();  // to log-densities in the data's units
  m.loss = s[metric::loss] / steps + log_volume;
  m.reconstruction = s[metric::reconstruction] / steps - log_volume;
  m.kl = s[metric::kl] / steps;
  for (std::size_t l = 0; vae_.config().has_closed_form_kl() && l < latent; ++l)
    m.kl_dims.push_back(s[metric::kl_dims + l] / steps);
  m.latent = vae_.config().latent;
  const std::vector<double> moments = all_moments();
  m.active_units = active_units(moments, m.latent);
  if (!vae_.config().has_bernoulli_latents()) m.clamped_units = clamped_units(moments, m.latent);
  m.gradient_norm = s[metric::gradient_norm] / s[metric::updates];
  m.skipped = state().skipped;
  return m;
}

// Chan, Golub and LeVeque 1983: the common means first, then the deviations from them.
std::vector<double> Trainer::all_moments() {
  const auto columns = static_cast<std::size_t>(2 * vae_.config().latent);
  std::vector<double> own = read_moments(backend_, moments_, vae_.config().latent);
  if (group_ == nullptr) return own;
  std::vector<double> sums{own[0]};
  for (std::size_t c = 1; c <= columns; ++c) sums.push_back(own[0] * own[c]);
  std::vector<double> all = group_->sum(std::move(sums)), squares;
  for (std::size_t c = 1; c <= columns; ++c) {
    if (all[0] > 0) all[c] /= all[0];
    squares.push_back(own[columns + c] + own[0] * (own[c] - all[c]) * (own[c] - all[c]));
  }
  squares = group_->sum(std::move(squares));
  all.insert(all.end(), squares.begin(), squares.end());
  return all;
}

void Trainer::reset_metrics() {
  backend_.zero(sums_.data(), sums_.bytes());
  backend_.zero(moments_.data(), moments_.bytes());
}

StepState Trainer::state() {
  backend_.download(&seen_, state_.data(), sizeof seen_);
  return seen_;
}

}  // namespace cuvae

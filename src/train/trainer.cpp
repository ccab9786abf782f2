// A training step reads as its mathematics: backward() and update(). The loop of epochs around it is in fit.cpp.
#include "cuvae/trainer.h"

#include <algorithm>
#include <cmath>

#include "cuvae/estimator.h"
#include "data/check_data.h"
#include "io/text.h"
#include "train/input_baseline.h"
#include "train/resident_data.h"
#include "train/run_checks.h"
#include "train/schedule.h"

namespace cuvae {

void TrainConfig::validate() const {
  const auto check = [](bool ok, const char* name, const std::string& value, const std::string& rule) {
    if (!ok) throw Error(std::string("training: ") + name + " is " + value + " but must be " + rule);
  };
  const auto whole = [&](const char* name, Index value, Index least) {
    check(value >= least && value <= 0x7fffffff, name, std::to_string(value),
          least == 0 ? "0 to 2147483647" : "1 to 2147483647");
  };
  const auto from_zero = [&](const char* name, double value) {
    check(value >= 0 && std::isfinite(value), name, number(value), "at least 0");
  };
  const auto fraction = [&](const char* name, double value) {
    check(value >= 0 && value < 1, name, number(value), "at least 0 and below 1");
  };
  whole("batch", batch, 1);
  whole("samples", samples, 1);
  check(batch * samples <= 0x7fffffff, "batch * samples", std::to_string(batch * samples), "at most 2147483647");
  whole("epochs", epochs, 1);
  whole("patience", patience, 0);
  whole("log_every", log_every, 0);
  whole("checkpoint_every", checkpoint_every, 1);
  whole("max_skipped", max_skipped, 1);
  from_zero("pixel_scale", static_cast<double>(pixel_scale));
  from_zero("beta", static_cast<double>(beta));
  from_zero("kl_warmup_epochs", kl_warmup_epochs);
  from_zero("free_bits", static_cast<double>(free_bits));
  from_zero("weight_decay", static_cast<double>(weight_decay));
  from_zero("clip_norm", static_cast<double>(clip_norm));
  check(epsilon > 0 && std::isfinite(epsilon), "epsilon", number(static_cast<double>(epsilon)), "positive");
  fraction("beta1", static_cast<double>(beta1));
  fraction("beta2", static_cast<double>(beta2));
  fraction("ema_decay", static_cast<double>(ema_decay));
  fraction("validation", validation);
  check(patience == 0 || validation > 0, "patience", std::to_string(patience),
        "0 when no examples are held out for validation");
  check(!standardize || binarize == Binarize::none, "binarize", std::string(to_string(binarize)),
        "none for standardized data");
  const std::string chosen = " with the estimator " + std::string(to_string(estimator));
  check(samples >= traits(estimator).least_samples, "samples", std::to_string(samples),
        "at least " + std::to_string(traits(estimator).least_samples) + chosen);
  check(takes_cost(estimator, cost), "cost", std::string(to_string(cost)),
        "elbo" + chosen + ": only score functions other than nvil-scaled take another");
  check(!antithetic || traits(estimator).antithetic, "antithetic", "true",
        "false" + chosen + ": only pathwise, total, stl, score, score-mean, nvil and nvil-scaled take pairs");
  check(!antithetic || samples % 2 == 0, "samples", std::to_string(samples), "even for antithetic pairs");
  if (!has_closed_form_kl(estimator, cost)) {  // there is no KL by dimension, nor one that a weight could reach
    check(beta == 1, "beta", number(static_cast<double>(beta)), "1" + chosen);
    check(kl_warmup_epochs == 0, "kl_warmup_epochs", number(kl_warmup_epochs), "0" + chosen);
    check(free_bits == 0, "free_bits", number(static_cast<double>(free_bits)), "0" + chosen);
  }
  schedule.validate();
  const bool ends = schedule.kind == LearningRate::Kind::cosine && schedule.epochs > 0 && schedule.final_rate == 0;
  check(!ends || static_cast<double>(epochs) <= schedule.epochs, "epochs", std::to_string(epochs),
        "at most " + number(schedule.epochs) + ", where the cosine's rate comes to 0, or its final rate positive");
}

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
}  // namespace

void validate(const VaeConfig& model, const TrainConfig& training) {
  if (training.standardize && model.likelihood == Likelihood::bernoulli)
    throw Error("training: standardize is true but must be false with a bernoulli likelihood, which takes 0 to 1");
}

Trainer::Trainer(Backend& backend, const VaeConfig& model, const TrainConfig& config, Index examples)
    : backend_(backend),
      config_(with_schedule_length(config)),
      checked_(config_),
      estimator_(config.estimator),
      examples_(examples),
      steps_per_epoch_(checked_steps(backend, model, config, examples)),
      vae_(backend, model, config.seed),
      activations_(uses_log_densities(estimator_) ? vae_.allocate_with_log_densities(config.batch, config.samples)
                                                  : vae_.allocate(config.batch, config.samples)),
      gradients_(vae_.allocate_gradients(config.batch, config.samples)),
      x_(backend.allocate(static_cast<std::size_t>(config.batch * model.data_dim) *
                          size_of(backend.activation_type()))) {
  validate(model, config);
  total_steps();
  const std::size_t arena = static_cast<std::size_t>(vae_.layout().size()) * sizeof(float);
  const std::size_t latent = static_cast<std::size_t>(model.latent);
  grads_ = backend.allocate(arena);
  m_ = backend.allocate(arena);
  if (config.optimizer != Optimizer::sgd) v_ = backend.allocate(arena);
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
  const auto floats = [&](Index n) { return backend.allocate(static_cast<std::size_t>(n) * sizeof(float)); };
  if (is_importance_weighted(estimator_))
    bound_ = floats(config.batch), weights_ = floats(config.batch * config.samples);
  if (uses_score(estimator_)) score_ = floats(config.batch * config.samples);
  if (uses_probes(estimator_)) probes_ = Probes(vae_, estimator_, config.batch, config.samples);
  if (estimator_ == Estimator::optimal_shared) activations_.score_norm = floats(config.batch * config.samples);
  if (estimator_ == Estimator::score_mean) running_mean_ = backend.allocate(sizeof(RunningMean));
  if (has_network(estimator_))
    baseline_ = std::make_unique<InputBaseline>(backend, config.batch, model.data_dim, config.seed);
}

Index Trainer::total_steps() const { return cuvae::total_steps(config_, steps_per_epoch_); }

Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

void Trainer::backward(ConstView x) {
  const std::uint32_t* step = &state_.as<StepState>()->step;
  const Noise noise{config_.seed, Stream::latent, step, 0, config_.antithetic};
  const KlWeight weight = kl_weight(config_, steps_per_epoch_);
  const Index B = x.rows, R = B * config_.samples, L = vae_.config().latent;
  float* grads = grads_.as<float>();
  const Weights w = vae_.weights();
  const View dz = uses_path(estimator_) ? gradients_.dz.view(R, L) : View{},
             dstats = gradients_.dstats.view(B, 2 * L, backend_.activation_type());
  const View kl = activations_.kl.view(B, 1), kl_dims = activations_.kl_dims.view(1, L);
  const ElboLoss loss{kl,
                      kl_dims,
                      weight,
                      step,
                      loss_.as<float>(),
                      sums_.as<double>(),
                      step_moments_.as<double>(),
                      moments_.as<double>()};
  const float kl_scale = has_closed_form_kl(estimator_, config_.cost) ? 1.0f / static_cast<float>(B) : 0.0f;
  const auto& [a, g] = std::tie(activations_, gradients_);

  const View stats = vae_.encode(x, a);                                              // [B, 2L]
  const View z = vae_.sample_latent(stats, noise, a, step_moments_.as<double>());    // [R, L], kl
  const View output = vae_.decode(z, a);                                             // [R, D]
  const LatentTerms terms = estimate(output, x, loss);                               // [1], doutput
  vae_.decoder().backward(backend_, w, grads, z, a.decoder, output, g.scratch, dz);  // [R, L]
  if (uses_probes(estimator_)) {
    const ConstView log_p = a.log_p.view(R, 1), at_probes = probes_.log_prob(vae_, stats, x, noise);  // [B * n, 1]
    backend_.run(ProbeBackward{traits(estimator_).probes, stats, noise, log_p, at_probes, weight, kl_dims, kl_scale,
                               dstats});  // [B, 2L]
  } else {
    backend_.run(GaussianBackward{terms, stats, noise, dz, weight, kl_dims, kl_scale, dstats});  // [B, 2L]
  }
  vae_.encoder().backward(backend_, w, grads, x, a.encoder, dstats, g.scratch, {});  // [P]
}

void Trainer::update(ConstView x) {
  backward(x);
  const Arena arena{vae_.params(),    grads_.as<float>(),   m_.as<float>(),        v_.as<float>(),
                    ema_.as<float>(), vae_.layout().size(), vae_.weights().rounded};
  backend_.run(Adam{arena, optimizer_step(config_, steps_per_epoch_), loss_.as<float>(), state_.as<StepState>(),
                    sums_.as<double>()});  // [P]
  learn_baseline(x);
}

void Trainer::learn_baseline(ConstView x) {
  if (baseline_) baseline_->learn(x, optimizer_step(config_, steps_per_epoch_).learning_rate, loss_.as<float>());
}

// The loss, its gradient in place of the decoder's output, and what the encoder's gradient is made of. The weights of a
// K-sample bound come from all its log p(x|z), so that the gradient needs a second pass.
LatentTerms Trainer::estimate(View output, ConstView x, const ElboLoss& loss) {
  const Index B = x.rows, K = config_.samples, R = B * K;
  const auto column = [&](const Buffer& b) { return b ? b.view(R, 1) : View{}; };
  const View weights = column(weights_), score = column(score_);
  const ConstView log_p_x = column(activations_.log_p), log_p_z = column(activations_.log_p_z),
                  log_q = column(activations_.log_q);
  const bool weighted = is_importance_weighted(estimator_);
  if (weighted) {
    vae_.log_prob(output, x, 0.0f, nullptr, activations_);                                           // [R, 1]
    backend_.run(ImportanceWeights{log_p_x, log_p_z, log_q, bound_.view(B, 1), weights, {}, loss});  // [1], [R, 1]
  } else {
    vae_.log_prob(output, x, -1.0f / static_cast<float>(R), grads_.as<float>(), activations_, loss);  // [1], doutput
  }
  if (uses_score(estimator_)) {
    ScoreWeights weigh = score_weights(estimator_, config_.cost, log_p_x, log_p_z, log_q, K, score);
    weigh.mean = running_mean_.as<RunningMean>();
    weigh.score_norm = column(activations_.score_norm);
    if (baseline_) baseline_->forward(x, weigh);  // [B, 1]
    backend_.run(weigh);                          // [R, 1]
  }
  if (weighted)
    vae_.log_prob(output, x, {-1.0f / static_cast<float>(B), weights}, grads_.as<float>(), activations_);  // doutput
  return latent_terms(estimator_, config_.cost, B, K, weights, score);
}

// In every step: settings that stayed cost one comparison, in which a NaN is never the same.
void Trainer::check_config(const char* op) {
  if (config_ == checked_) return;
  require_unchanged(op);
  config_.validate();
  checked_ = config_;
}

void Trainer::require_unchanged(const char* op) const {
  if (config_.batch != activations_.batch || config_.samples != activations_.samples)
    throw Error(std::string(op) + ": batch and samples cannot change once the trainer is made");
  if (config_.estimator != estimator_)
    throw Error(std::string(op) + ": the estimator cannot change once the trainer is made");
  if (!takes_cost(config_.estimator, config_.cost))
    throw Error(std::string(op) + ": " + std::string(to_string(config_.estimator)) + " takes no cost " +
                std::string(to_string(config_.cost)));
  if (config_.antithetic && (!traits(estimator_).antithetic || config_.samples % 2 != 0))
    throw Error(std::string(op) + ": " + std::string(to_string(estimator_)) + " with " +
                std::to_string(config_.samples) + " samples takes no antithetic pairs");
}

namespace {
// A pass over the batch, all of it before the first comparison that branches.
void require_unit_interval(const char* op, ConstView x) {
  if (!x || x.dtype != DType::f32) return;
  const auto inside = [](float v) { return v >= 0.0f && v <= 1.0f; };
  bool all = true;
#pragma omp simd reduction(& : all)
  for (Index i = 0; i < x.size(); ++i) all &= inside(x.f32()[i]);
  if (all) return;
  const Index at = std::find_if_not(x.f32(), x.f32() + x.size(), inside) - x.f32();
  throw Error(std::string(op) + ": x is " + number(static_cast<double>(x.f32()[at])) + " in row " +
              std::to_string(at / x.cols) + ", column " + std::to_string(at % x.cols) +
              " but must lie in [0, 1], as a Bernoulli likelihood and binarization take it");
}
}  // namespace

ConstView Trainer::checked_batch(const char* op, ConstView x) {
  check_config(op);
  if (x.rows != config_.batch || x.cols != vae_.config().data_dim)
    throw Error(std::string(op) + ": x is [" + std::to_string(x.rows) + ", " + std::to_string(x.cols) +
                "] but the model takes [" + std::to_string(config_.batch) + ", " +
                std::to_string(vae_.config().data_dim) + "]");
  if (backend_.reads_host_memory() && needs_unit_interval(vae_.config(), config_.binarize))
    require_unit_interval(op, x);
  if (x.dtype != backend_.activation_type() || config_.binarize != Binarize::none) {
    const View batch = x_.view(x.rows, x.cols, backend_.activation_type());
    const Noise noise{config_.seed, Stream::binarize, &state_.as<StepState>()->step};
    backend_.run(GatherBatch{x, {nullptr, x.rows, nullptr, 0}, config_.binarize, noise, batch});
    x = batch;
  }
  return x;
}

void Trainer::step(ConstView x) {
  x = checked_batch("step", x);
  if (static_cast<Index>(seen_.skipped_in_a_row) >= config_.max_skipped) check_divergence("step");
  update(x);
  if (!backend_.records()) check_divergence("step");
}

ConstView Trainer::gradient(ConstView x) {
  backward(checked_batch("gradient", x));
  return grads_.view(1, vae_.layout().size());
}

void Trainer::fit_baseline(ConstView x) {
  x = checked_batch("fit_baseline", x);
  backward(x);
  learn_baseline(x);
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
  for (std::size_t l = 0; l < latent; ++l) m.kl_dims.push_back(s[metric::kl_dims + l] / steps);
  m.active_units = active_units(backend_, moments_, vae_.config().latent);
  m.clamped_units = clamped_units(backend_, moments_, vae_.config().latent);
  m.gradient_norm = s[metric::gradient_norm] / s[metric::updates];
  m.skipped = state().skipped;
  return m;
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

// A training step reads as its mathematics: update(). The loop of epochs around it is in fit.cpp.
#include "cuvae/trainer.h"

#include <cmath>

#include "resident_data.h"
#include "schedule.h"
#include "text.h"

namespace cuvae {

void TrainConfig::validate() const {
  const auto check = [](bool ok, const char* name, const std::string& value, const char* rule) {
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
  schedule.validate();
}

namespace {
const TrainConfig& validated(const TrainConfig& config) {
  config.validate();
  return config;
}

Index count_steps(const TrainConfig& config, Index examples) {
  if (examples < config.batch)
    throw Error("training: batch is " + std::to_string(config.batch) + " but there are only " +
                std::to_string(examples) + " training examples");
  const Index steps = examples / config.batch;
  if (steps > 0xfffffffe / config.epochs) throw Error("training: more than 4294967294 steps");
  return steps;
}
}  // namespace

Trainer::Trainer(Backend& backend, const VaeConfig& model, const TrainConfig& config, Index examples)
    : backend_(backend),
      config_(validated(config)),
      examples_(examples),
      steps_per_epoch_(count_steps(config, examples)),
      vae_(backend, model, config.seed),
      activations_(vae_.allocate(config.batch, config.samples)),
      gradients_(vae_.allocate_gradients(config.batch, config.samples)),
      x_(backend.allocate(static_cast<std::size_t>(config.batch * model.data_dim) *
                          size_of(backend.activation_type()))) {
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
}

void Trainer::update(ConstView x) {
  const std::uint32_t* step = &state_.as<StepState>()->step;
  const Noise noise{config_.seed, Stream::latent, step};
  const KlWeight weight = kl_weight(config_, steps_per_epoch_);
  const Index B = x.rows, R = B * config_.samples, L = vae_.config().latent;
  float* grads = grads_.as<float>();
  const Weights w = vae_.weights();
  const Index P = vae_.layout().size();
  const Arena arena{vae_.params(), grads, m_.as<float>(), v_.as<float>(), ema_.as<float>(), P, w.rounded};
  const View dz = gradients_.dz.view(R, L), dstats = gradients_.dstats.view(B, 2 * L, backend_.activation_type());
  const View kl = activations_.kl.view(B, 1), kl_dims = activations_.kl_dims.view(1, L);
  const ElboLoss loss{kl, kl_dims, weight, step, loss_.as<float>(), sums_.as<double>()};
  const auto& [a, g] = std::tie(activations_, gradients_);

  const View stats = vae_.encode(x, a);                                              // [B, 2L]
  const View z = vae_.sample_latent(stats, noise, a, moments_.as<double>());         // [R, L], kl
  const View output = vae_.decode(z, a);                                             // [R, D]
  vae_.log_prob(output, x, -1.0f / static_cast<float>(R), grads, a, &loss);          // [1], doutput
  vae_.decoder().backward(backend_, w, grads, z, a.decoder, output, g.scratch, dz);  // [R, L]
  backend_.latent_backward({}, stats, noise, dz, weight, kl_dims, 1.0f / static_cast<float>(B),
                           dstats);                                                  // [B, 2L]
  vae_.encoder().backward(backend_, w, grads, x, a.encoder, dstats, g.scratch, {});  // [P]
  backend_.adam(arena, optimizer_step(config_, steps_per_epoch_), loss_.as<float>(), state_.as<StepState>(),
                sums_.as<double>());  // [P]
}

void Trainer::step(ConstView x) {
  if (config_.batch != activations_.batch || config_.samples != activations_.samples)
    throw Error("step: batch and samples cannot change once the trainer is made");
  if (x.rows != config_.batch || x.cols != vae_.config().data_dim)
    throw Error("step: x is [" + std::to_string(x.rows) + ", " + std::to_string(x.cols) + "] but the model takes [" +
                std::to_string(config_.batch) + ", " + std::to_string(vae_.config().data_dim) + "]");
  if (x.dtype != backend_.activation_type() || config_.binarize != Binarize::none) {
    const View batch = x_.view(x.rows, x.cols, backend_.activation_type());
    const Noise noise{config_.seed, Stream::binarize, &state_.as<StepState>()->step};
    backend_.gather_batch(x, {nullptr, x.rows, nullptr, 0}, config_.binarize, noise, batch);
    x = batch;
  }
  update(x);
}

Metrics Trainer::metrics() {
  const std::size_t latent = static_cast<std::size_t>(vae_.config().latent);
  std::vector<double> s(metric::kl_dims + latent);
  backend_.download(s.data(), sums_.data(), s.size() * sizeof(double));
  const double steps = std::max(1.0, s[metric::steps]);
  Metrics m;
  m.steps = static_cast<std::uint64_t>(s[metric::steps]);
  m.loss = s[metric::loss] / steps;
  m.reconstruction = s[metric::reconstruction] / steps;
  m.kl = s[metric::kl] / steps;
  for (std::size_t l = 0; l < latent; ++l) m.kl_dims.push_back(s[metric::kl_dims + l] / steps);
  m.active_units = active_units(backend_, moments_, vae_.config().latent);
  m.gradient_norm = s[metric::gradient_norm] / std::max(1.0, s[metric::updates]);
  m.skipped = state().skipped;
  return m;
}

void Trainer::reset_metrics() {
  backend_.zero(sums_.data(), sums_.bytes());
  backend_.zero(moments_.data(), moments_.bytes());
}

StepState Trainer::state() {
  StepState s;
  backend_.download(&s, state_.data(), sizeof s);
  return s;
}

}  // namespace cuvae

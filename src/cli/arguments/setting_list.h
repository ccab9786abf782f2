// The one list of settings. A visitor gets each setting's flag, value, help, range, and the reason why it has no effect
// given the others, or null.
#pragma once
#include "cli/arguments/settings.h"
#include "cuvae/estimator.h"
#include "cuvae/likelihood.h"
#include "io/text.h"

namespace cuvae::cli {

inline constexpr Range kReal{}, kShare{0, 1};

// The reason why --beta has no effect, or null; then those of --kl-warmup and --free-bits.
inline const char* idle_weight(const TrainConfig& t) {
  if (t.objective == Objective::wake_sleep) return "with --objective wake-sleep, which does not weigh the KL";
  return unless(takes_kl_weight(t.estimator, t.cost), "with this --estimator, which does not weigh the KL");
}
inline const char* idle_warmup(const TrainConfig& t) {
  return idle_weight(t) != nullptr ? idle_weight(t) : unless(t.beta > 0, "with --beta 0");
}
inline const char* idle_free_bits(const TrainConfig& t) {
  if (idle_warmup(t) != nullptr) return idle_warmup(t);
  return unless(has_closed_form_kl(t.estimator, t.cost), "with this --estimator, which estimates the KL from samples");
}

inline const char* idle_estimator(const TrainConfig& t) {
  if (t.objective == Objective::wake_sleep) return "with --objective wake-sleep, which has none";
  return unless(t.objective != Objective::rws || t.sleep_share < 1,
                "with --sleep-share 1: the wake phase has no share");
}

// "bernoulli, gaussian ... or beta-binomial".
inline const char* likelihood_names() {
  static const std::string all = [] {
    std::vector<std::string> names;
    for (const LikelihoodTraits& t : kLikelihoods) names.emplace_back(t.name);
    return one_of(names);
  }();
  return all.c_str();
}

template <class Model, class Layers, class Visitor>
void visit_model(Model& m, Layers& layers, Visitor&& visit) {
  const bool several = layers.latent.all.size() > 1;
  const bool hidden = !m.encoder_hidden.empty() || !m.decoder_hidden.empty() || several;
  const char* const one_layer = unless(several, "with one latent layer");
  visit.group("Model");
  visit("latent", layers.latent, "Latent dimensions; several numbers: those of each latent layer, from the data up",
        kCount);
  visit("encoder-hidden", m.encoder_hidden, "Hidden widths of the encoder, from x to z; 0: none", kCountOrZero);
  visit("decoder-hidden", m.decoder_hidden, "Hidden widths of the decoder, from z to x; 0: none", kCountOrZero);
  visit("encoder-hidden-above", layers.encoder_hidden_above,
        "Hidden widths of the encoder of each latent layer above the first; 0: none", kCountOrZero, one_layer);
  visit("decoder-hidden-above", layers.decoder_hidden_above,
        "Hidden widths of the decoder of each latent layer above the first; 0: none", kCountOrZero, one_layer);
  visit("latent-kind", m.latent_kind,
        "gaussian, or bernoulli (units of 0 or 1 in all latent layers: a sigmoid belief network)");
  visit("ladder", m.ladder,
        "Ladder inference: the posterior of each latent layer below the top joins the encoders' statistics and the "
        "prior given the layer above",
        {}, one_layer);
  visit("prior", m.prior,
        "Prior of the top latent layer: standard (normal), mixture (of Gaussians, learned) or vampprior (a mixture of "
        "posteriors at learned pseudo-inputs)");
  visit("prior-components", m.prior_components, "Components of a mixture or VampPrior (default: 500)", kCount,
        unless(m.prior != Prior::standard, "with --prior standard"));
  visit("activation", m.activation, "relu, leaky-relu (slope 0.01), tanh, softplus, silu, gelu, elu or identity", {},
        unless(hidden, "without hidden layers"));
  visit("likelihood", m.likelihood, likelihood_names());
  visit("scale", m.scale, "Standard deviation of a Gaussian likelihood; the initial value of one that is learned",
        {kScaleMin, kScaleMax}, unless(has_scale(m.likelihood), "with this --likelihood, which has no scale"));
  visit("init", m.initialization, "glorot or he");
  visit(
      "missing", MissingSetting{m.missing_values, m.missing_value},
      "Take missing values, which the likelihood leaves out: NaN, and with VALUE also this, in the units of the file");
}

template <class Training, class Visitor>
void visit_training(Training& t, Visitor&& visit) {
  using Kind = LearningRate::Kind;
  const char* const not_cosine = unless(t.schedule.kind == Kind::cosine, "without --schedule cosine");
  const char* const not_step = unless(t.schedule.kind == Kind::step, "without --schedule step");
  const char* const sgd = unless(t.optimizer != Optimizer::sgd, "with --optimizer sgd");
  visit.group("Objective");
  visit("samples", t.samples, "Latent samples per example; with miwae and piwae per bound", kCount);
  visit("objective", t.objective,
        "elbo, iwae, miwae (the mean of several IWAE bounds), ciwae (a mix of ELBO and IWAE), piwae (generative "
        "network: iwae, inference network: miwae), wake-sleep (inference network: samples from the model) or rws "
        "(reweighted wake-sleep); docs/models.md shows what goes together (default: that of --estimator)");
  visit(
      "bounds", t.bounds, "miwae, piwae: bounds per example, each over --samples samples", kCount,
      unless(t.objective == Objective::miwae || t.objective == Objective::piwae, "without --objective miwae or piwae"));
  visit("elbo-share", t.elbo_share, "ciwae: the ELBO's share of the objective; the rest is IWAE's", kShare,
        unless(t.objective == Objective::ciwae, "without --objective ciwae"));
  visit("sleep-share", t.sleep_share,
        "rws: the sleep phase's share of the inference network's gradient; the rest is the wake phase's", kShare,
        unless(objective_of(t) == Objective::rws, "without --objective rws"));
  visit("estimator", t.estimator,
        "Estimator of the encoder's gradient (default: pathwise; total with several latent layers or a learned prior; "
        "for Bernoulli latents rloo, score-mean if there is one sample, or vimco for a bound). For the ELBO: pathwise, "
        "total, stl, score, score-mean, rloo, optimal, optimal-shared, nvil, nvil-scaled, delta, measure-valued, "
        "measure-valued-independent; for bounds over the samples: iwae (or pathwise), stl-iwae (or stl), dreg, vimco, "
        "vimco-arithmetic; for rws: wake-phi, rws-dreg",
        {}, idle_estimator(t));
  visit("cost", t.cost,
        "Cost of a score-function estimator: elbo, joint (without log q(z|x)) or likelihood (log p(x|z) alone)", {},
        unless(takes_cost(t.estimator, Cost::joint), "with this --estimator, which supports elbo only"));
  visit("antithetic", t.antithetic,
        "Draw samples in pairs at eps and -eps; for pathwise, total, stl, score, score-mean, nvil, nvil-scaled");
  visit("binarize", t.binarize, "none, threshold or stochastic (default: stochastic for bernoulli, else none)");
  visit("pixel-scale", t.pixel_scale,
        "Divide the data by this (1 for 0/1 masks); 0: divide uint8 by 255, leave floats unchanged", kReal);
  visit("beta", t.beta, "Weight of the KL", kReal, idle_weight(t));
  visit("kl-warmup", t.kl_warmup_epochs, "Epochs over which beta grows linearly from 0", kReal, idle_warmup(t));
  visit("free-bits", t.free_bits, "KL per latent dimension that is not penalized, in nats", kReal, idle_free_bits(t));
  visit("output-bias-from-data", t.output_bias_from_data, "Initialize the decoder's last bias from the data's mean");
  visit("standardize", t.standardize,
        "Gaussian likelihoods only: scale each column to mean 0 and standard deviation 1; results are in the data's "
        "units");
  visit.group("Optimizer");
  visit("optimizer", t.optimizer,
        "adam, adamw, sgd or adam-iwae (as in the code of Burda et al. 2015; with --beta1 0.99 --epsilon 1e-4)");
  visit("lr", t.schedule.rate, "Learning rate", kReal,
        unless(t.schedule.kind != Kind::pieces, "with --schedule pieces: its rates are in --lr-pieces"));
  visit("schedule", t.schedule.kind, "constant, cosine, step or pieces");
  visit("lr-final", t.schedule.final_rate, "cosine: the rate at the end", kReal, not_cosine);
  visit("lr-warmup", t.schedule.warmup_epochs, "cosine: epochs over which the rate grows from 0", kReal, not_cosine);
  visit("schedule-epochs", t.schedule.epochs, "cosine: its length in epochs; 0: the whole run", kReal, not_cosine);
  visit("lr-decay", t.schedule.decay, "step: the factor of each decay", kReal, not_step);
  visit("lr-every", t.schedule.every_epochs, "step: epochs between two decays", kReal, not_step);
  visit("lr-pieces", t.schedule.pieces,
        "pieces: pairs of epochs and their rate, such as 1:1e-3,3:7e-4; iwae: 3^i epochs at 0.001 * 10^(-i/7), i = 0 "
        "to 7, as Burda et al. 2015",
        {}, unless(t.schedule.kind == Kind::pieces, "without --schedule pieces"));
  visit("beta1", t.beta1, "Decay of Adam's mean gradient, or the momentum of SGD", kShare);
  visit("beta2", t.beta2, "Decay of Adam's mean squared gradient", kShare, sgd);
  visit("epsilon", t.epsilon, "Adam's epsilon", kReal, sgd);
  visit("weight-decay", t.weight_decay, "Weight decay: decoupled with adamw, an L2 penalty with adam and sgd", kReal);
  visit("clip-norm", t.clip_norm, "Clip the gradient to this norm; 0: never", kReal);
  visit("clip-value", t.clip_value, "Clamp each element of the gradient to [-X, X], after --clip-norm; 0: never",
        kReal);
  visit("ema", t.ema_decay, "Decay of the averaged weights that evaluation uses; 0: no averaging", kShare);
  visit.group("Run");
  visit("seed", t.seed, "Seed of all random numbers of the run", kAnySeed);
  visit("epochs", t.epochs, "Passes over the data", kCount);
  visit("batch", t.batch, "Examples per step", kCount);
  visit("validation", t.validation, "Fraction of the examples to hold out for validation, in [0, 1)", kShare);
  visit("patience", t.patience,
        "Stop after this many epochs without a better validation ELBO, or bound where --estimator trains one; 0: never",
        kCountOrZero, unless(t.validation > 0, "without --validation"));
  visit("log-every", t.log_every, "Steps between reports; each epoch also ends with one; 0: only those", kCountOrZero);
  visit("checkpoint-every", t.checkpoint_every, "Epochs between checkpoints; the run also ends with one", kCount);
  visit("max-skipped", t.max_skipped, "End the run after this many steps in a row without a finite loss", kCount);
}

// The flags that DeviceArguments and add_settings declare.
template <class Visitor>
void visit_device(const Settings& s, Visitor&& visit) {
  visit("device", s.device, "");
  visit("threads", s.threads, "", {}, s.idle_threads());
  visit("precision", s.precision, "", {}, s.idle_precision());
  visit("data-memory", s.data_memory, "", {}, unless(s.device != "cpu", "with --device cpu"));
}

template <class Visitor>
void visit_all(const Settings& s, Visitor visit) {
  visit_device(s, visit);
  visit_model(s.model, s.layers, visit);
  visit_training(s.training, visit);
}

}  // namespace cuvae::cli

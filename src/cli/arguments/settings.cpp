#include "cli/arguments/settings.h"

#include <cmath>
#include <concepts>
#include <type_traits>

#include "cuvae/estimator.h"
#include "cuvae/likelihood.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::ordered_json;
using Pieces = std::vector<std::pair<double, double>>;
using Kind = LearningRate::Kind;

constexpr Range kReal{}, kShare{0, 1};
constexpr Index kPriorComponents = 500;  // as Tomczak and Welling 2018

// The reason why --beta has no effect, or null; then the same for flags that change how the KL is weighted.
const char* idle_weight(const TrainConfig& t) {
  if (t.objective == Objective::wake_sleep) return "with --objective wake-sleep, which does not weigh the KL";
  return unless(has_closed_form_kl(t.estimator, t.cost), "with this --estimator, which estimates the KL from samples");
}
const char* idle_weighting(const TrainConfig& t) {
  return idle_weight(t) != nullptr ? idle_weight(t) : unless(t.beta > 0, "with --beta 0");
}

const char* idle_estimator(const TrainConfig& t) {
  if (t.objective == Objective::wake_sleep) return "with --objective wake-sleep, which has none";
  return unless(t.objective != Objective::rws || t.sleep_share < 1,
                "with --sleep-share 1: the wake phase has no share");
}

// "bernoulli, gaussian ... or beta-binomial".
const char* likelihood_names() {
  static const std::string all = [] {
    std::string names;
    for (const LikelihoodTraits& t : kLikelihoods) {
      const bool last = &t == std::end(kLikelihoods) - 1;
      names += (names.empty() ? "" : last ? " or " : ", ") + std::string(t.name);
    }
    return names;
  }();
  return all.c_str();
}

// The one list of settings. A visitor gets each setting's flag, value, help, range, and the reason why it has no
// effect given the others, or null.
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
  visit("prior", m.prior,
        "Prior of the top latent layer: standard (normal), mixture (of Gaussians, learned) or vampprior (a mixture of "
        "posteriors at learned pseudo-inputs)");
  visit("prior-components", m.prior_components, "Components of a mixture or VampPrior (default: 500)", kCount,
        unless(m.prior != Prior::standard, "with --prior standard"));
  visit("activation", m.activation, "relu, tanh, softplus, silu, gelu, elu or identity", {},
        unless(hidden, "without hidden layers"));
  visit("likelihood", m.likelihood, likelihood_names());
  visit("scale", m.scale, "Standard deviation of a Gaussian likelihood; the initial value of one that is learned",
        {kScaleMin, kScaleMax}, unless(has_scale(m.likelihood), "with this --likelihood, which has no scale"));
  visit("init", m.initialization, "glorot or he");
}

template <class Training, class Visitor>
void visit_training(Training& t, Visitor&& visit) {
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
  visit("kl-warmup", t.kl_warmup_epochs, "Epochs over which beta grows linearly from 0", kReal, idle_weighting(t));
  visit("free-bits", t.free_bits, "KL per latent dimension that is not penalized, in nats", kReal, idle_weighting(t));
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

template <class Number>
requires std::is_arithmetic_v<Number> std::string text_of(Number value) { return detail::shortest(value); }

template <class Enum>
requires std::is_enum_v<Enum> std::string text_of(Enum value) { return std::string(to_string(value)); }

// LayerConfig::encoder_hidden or decoder_hidden of the second layer, or the default of one.
std::vector<Index> widths_above(const VaeConfig& model, std::vector<Index> LayerConfig::*widths) {
  return (model.above.empty() ? LayerConfig() : model.above.front()).*widths;
}

// pathwise stands for iwae where the objective is a bound, and for wake-phi with rws.
Estimator default_estimator(const VaeConfig& model, const TrainConfig& training) {
  switch (training.objective) {
    case Objective::variational:
    case Objective::elbo:
      if (model.has_closed_form_kl()) break;
      if (!model.has_bernoulli_latents()) return Estimator::total;
      return training.samples > 1 ? Estimator::rloo : Estimator::score_mean;
    case Objective::iwae:
    case Objective::miwae:
    case Objective::piwae:
      if (model.has_bernoulli_latents()) return Estimator::vimco;
      break;
    case Objective::ciwae:
    case Objective::wake_sleep:
    case Objective::rws:
      break;
  }
  return Estimator::pathwise;
}

// An empty list is written as one width of 0, because a flag needs a value.
std::vector<Index> widths_or_zero(const std::vector<Index>& widths) {
  return widths.empty() ? std::vector<Index>{0} : widths;
}

Json json_of(bool value) { return value; }
Json json_of(const std::string& value) { return value; }
Json json_of(std::integral auto value) { return value; }
Json json_of(double value) { return value; }
Json json_of(float value) { return Json::parse(text_of(value)); }  // 0.9, not 0.8999999761581421
Json json_of(const std::vector<Index>& widths) { return widths_or_zero(widths); }
Json json_of(const LayerSettings::Widths& latent) {
  return latent.all.size() == 1 ? Json(latent.all.front()) : Json(latent.all);
}
template <class Enum>
requires std::is_enum_v<Enum> Json json_of(Enum value) { return text_of(value); }
Json json_of(const Pieces& pieces) {
  Json list = Json::array();
  for (const auto& [epochs, rate] : pieces) list.push_back(text_of(epochs) + ":" + text_of(rate));
  return list;
}

// Writes the settings that have an effect, or all of them with `all`.
struct JsonWriter {
  Json& object;
  bool all = false;
  void group(const char*) {}
  template <class Value>
  void operator()(const char* name, const Value& value, const char*, Range = {}, const char* idle = nullptr) {
    if (all || idle == nullptr) object[name] = json_of(value);
  }
};

class FlagAdder {
 public:
  explicit FlagAdder(CLI::App& app) : app_(app) {}
  void group(const char* name) { group_ = name; }

  template <class Number>
  requires std::is_arithmetic_v<Number>
  void operator()(const char* name, Number& value, const char* help, Range range, const char* = nullptr) {
    add_number(app_, flag(name), value, help, range)->group(group_);
  }
  void operator()(const char* name, bool& value, const char* help) {
    app_.add_flag(flag(name), value, help)->group(group_);
  }
  void operator()(const char* name, std::vector<Index>& widths, const char* help, Range range, const char* = nullptr) {
    add_numbers(app_, flag(name), widths, help, range)->group(group_);
  }
  void operator()(const char* name, LayerSettings::Widths& latent, const char* help, Range range) {
    add_numbers(app_, flag(name), latent.all, help, range)->group(group_);
  }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void operator()(const char* name, Enum& value, const char* help, Range = {}, const char* = nullptr) {
    add_name(app_, flag(name), value, help)->group(group_);
  }
  void operator()(const char* name, Pieces& pieces, const char* help, Range, const char*) {
    const auto set = [&pieces, option = flag(name)](const std::vector<std::string>& texts) {
      pieces.clear();
      if (texts == std::vector<std::string>{"iwae"}) {
        for (int i = 0; i < 8; ++i) pieces.emplace_back(std::pow(3, i), 1e-3 * std::pow(10, -i / 7.0));
      } else {
        for (const std::string& text : texts) pieces.push_back(parse_piece(option, text));
      }
    };
    app_.add_option_function<std::vector<std::string>>(flag(name), set, help)
        ->type_name("EPOCHS:RATE")
        ->delimiter(',')
        ->group(group_);
  }

 private:
  static std::string flag(const char* name) { return std::string("--") + name; }
  static Pieces::value_type parse_piece(const std::string& option, const std::string& text) {
    const std::size_t colon = text.find(':');
    if (colon == text.npos) throw CLI::ValidationError(option, "'" + text + "' is not EPOCHS:RATE");
    const auto part = [&](const char* what, const std::string& number) {
      try {
        return parse_number<double>(number, kReal.low, kReal.high);
      } catch (const Error& error) {
        throw CLI::ValidationError(option, "'" + text + "' is not EPOCHS:RATE: " + what + " " + error.what());
      }
    };
    const double epochs = part("EPOCHS", text.substr(0, colon));
    return {epochs, part("RATE", text.substr(colon + 1))};
  }

  CLI::App& app_;
  std::string group_;
};

// Refuses what is given but has no effect. A key of a file may have its default value: older files list all keys.
struct IdleFinder {
  const CLI::App& app;
  const std::set<std::string>& from_file;
  const Json& defaults;
  void group(const char*) {}
  template <class Value>
  void operator()(const char* name, const Value& value, const char*, Range = {}, const char* idle = nullptr) {
    if (!from_file.contains(name)) return refuse_idle(app, std::string("--") + name, idle);
    if (idle != nullptr && json_of(value) != defaults[name])
      throw CLI::ValidationError("--config", std::string("'") + name + "' has no effect " + idle);
  }
};

template <class Visitor>
void visit_all(const Settings& s, Visitor visit) {
  visit_device(s, visit);
  visit_model(s.model, s.layers, visit);
  visit_training(s.training, visit);
}

Json all_defaults() {
  Json object;
  visit_all(Settings(), JsonWriter{object, true});
  return object;
}

}  // namespace

LayerSettings::LayerSettings(const VaeConfig& model)
    : latent{{model.latent}},
      encoder_hidden_above(widths_above(model, &LayerConfig::encoder_hidden)),
      decoder_hidden_above(widths_above(model, &LayerConfig::decoder_hidden)) {
  for (const LayerConfig& layer : model.above) latent.all.push_back(layer.latent);
}

void add_settings(CLI::App& app, Settings& s) {
  app.add_option("--data", s.data, kDataHelp)->type_name("PATH");
  add_numbers(app, "--hidden", s.hidden, "Hidden widths of the encoder; the decoder has them in reverse order",
              kCountOrZero)
      ->group("Model");
  add_numbers(
      app, "--hidden-above", s.layers.hidden_above,
      "Hidden widths of the encoder of each latent layer above the first; its decoder has them in reverse order",
      kCountOrZero)
      ->group("Model");
  FlagAdder add(app);
  visit_model(s.model, s.layers, add);
  visit_training(s.training, add);
  for (const char* flag : {"--binarize", "--objective", "--estimator", "--prior-components"})
    app.get_option(flag)->default_str("");
  s.DeviceArguments::add_to(app);
  add_number(app, "--data-memory", s.data_memory,
             "GPU memory for the data, in MiB; larger data are streamed; 0: all that is free", kCountOrZero)
      ->group("Device");
}

void resolve(const CLI::App& app, Settings& s) {
  const auto given = [&](const char* flag) { return app.count(flag) > 0; };
  LayerSettings& layers = s.layers;
  if (given("--hidden") && !given("--encoder-hidden")) s.model.encoder_hidden = s.hidden;
  if (given("--hidden") && !given("--decoder-hidden"))
    s.model.decoder_hidden.assign(s.hidden.rbegin(), s.hidden.rend());
  const std::vector<Index>& above = layers.hidden_above;
  if (given("--hidden-above") && !given("--encoder-hidden-above")) layers.encoder_hidden_above = above;
  if (given("--hidden-above") && !given("--decoder-hidden-above"))
    layers.decoder_hidden_above.assign(above.rbegin(), above.rend());
  for (auto* widths :
       {&s.model.encoder_hidden, &s.model.decoder_hidden, &layers.encoder_hidden_above, &layers.decoder_hidden_above})
    if (*widths == std::vector<Index>{0}) widths->clear();
  const std::vector<Index>& latent = layers.latent.all;
  s.model.latent = latent.front();
  s.model.above.clear();
  for (auto width = latent.begin() + 1; width != latent.end(); ++width)
    s.model.above.push_back({*width, layers.encoder_hidden_above, layers.decoder_hidden_above});
  if (s.model.prior != Prior::standard && !given("--prior-components")) s.model.prior_components = kPriorComponents;
  if (!given("--estimator")) s.training.estimator = default_estimator(s.model, s.training);
  if (app.count("--binarize") == 0)
    s.training.binarize = is_binary(s.model.likelihood) ? Binarize::stochastic : Binarize::none;
  s.model.validate();
  s.training.validate();
  validate(s.model, s.training);
  s.training = resolved(s.training);
}

void refuse_idle_settings(const CLI::App& app, const Settings& s, const std::set<std::string>& from_file) {
  const bool both = app.count("--encoder-hidden") > 0 && app.count("--decoder-hidden") > 0;
  refuse_idle(app, "--hidden", unless(!both, "with --encoder-hidden and --decoder-hidden"));
  const bool both_above = app.count("--encoder-hidden-above") > 0 && app.count("--decoder-hidden-above") > 0;
  refuse_idle(app, "--hidden-above",
              s.layers.latent.all.size() < 2 ? "with one latent layer"
                                             : unless(!both_above,
                                                      "with --encoder-hidden-above and "
                                                      "--decoder-hidden-above"));
  const Json defaults = all_defaults();
  visit_all(s, IdleFinder{app, from_file, defaults});
}

Json settings_json(const VaeConfig& model) {
  Json object;
  const LayerSettings layers(model);
  visit_model(model, layers, JsonWriter{object});
  for (std::size_t t = 1; t < model.above.size(); ++t) {  // a program can give each layer other hidden widths
    const LayerConfig& layer = model.above[t];
    const std::string number = std::to_string(t + 2);
    if (layer.encoder_hidden != layers.encoder_hidden_above)
      object["encoder-hidden-of-layer-" + number] = json_of(layer.encoder_hidden);
    if (layer.decoder_hidden != layers.decoder_hidden_above)
      object["decoder-hidden-of-layer-" + number] = json_of(layer.decoder_hidden);
  }
  return object;
}

Json settings_json(const TrainConfig& training) {
  Json object;
  TrainConfig named = training;
  named.objective = objective_of(training);
  visit_training(named, JsonWriter{object});
  return object;
}

Json settings_json(const Settings& s) {
  Json object = {{"data", path_to_json(s.data)}};
  Settings named = s;
  named.training.objective = objective_of(s.training);
  visit_all(named, JsonWriter{object});
  return object;
}

}  // namespace cuvae::cli

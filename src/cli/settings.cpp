#include "cli/settings.h"

#include <charconv>
#include <concepts>
#include <type_traits>

#include "text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::ordered_json;
using Pieces = std::vector<std::pair<double, double>>;

constexpr double kInfinity = std::numeric_limits<double>::max();

// The one list. A visitor gets each setting's flag, value, help, and the range of its numbers.
template <class Model, class Visitor>
void visit_model(Model& m, Visitor&& visit) {
  visit.group("Model");
  visit("latent", m.latent, "Width of z", 1, kMaxCount);
  visit("encoder-hidden", m.encoder_hidden, "Widths from x to z; 0: none", 0, kMaxCount);
  visit("decoder-hidden", m.decoder_hidden, "Widths from z to x; 0: none", 0, kMaxCount);
  visit("activation", m.activation, "relu, tanh, softplus, silu, gelu, elu or identity");
  visit("likelihood", m.likelihood, "bernoulli, gaussian, gaussian-learned or gaussian-learned-per-dim");
  visit("scale", m.scale, "Standard deviation of a Gaussian, or where a learned one starts", kScaleMin, kScaleMax);
  visit("init", m.initialization, "glorot or he");
}

template <class Training, class Visitor>
void visit_training(Training& t, Visitor&& visit) {
  visit.group("Objective");
  visit("samples", t.samples, "Latent samples per example", 1, kMaxCount);
  visit("estimator", t.estimator,
        "Of the encoder's gradient. Of the ELBO: pathwise, total, stl, score, score-mean, rloo, optimal, "
        "optimal-shared, nvil, nvil-scaled, delta, measure-valued, measure-valued-independent; of a bound over the "
        "samples: iwae, stl-iwae, dreg, rws-dreg, vimco, vimco-arithmetic");
  visit("cost", t.cost, "Of score functions: elbo, joint (without log q(z|x)) or likelihood (log p(x|z) alone)");
  visit("antithetic", t.antithetic,
        "Samples in pairs at eps and -eps: pathwise, total, stl, score, score-mean, nvil, nvil-scaled");
  visit("binarize", t.binarize, "none, threshold or stochastic (default: stochastic for bernoulli, else none)");
  visit("pixel-scale", t.pixel_scale, "Divide the data by this, 0/1 masks by 1; 0: uint8 by 255, floats by nothing", 0,
        kInfinity);
  visit("beta", t.beta, "Weight of the KL", 0, kInfinity);
  visit("kl-warmup", t.kl_warmup_epochs, "Epochs over which that weight grows from 0", 0, kInfinity);
  visit("free-bits", t.free_bits, "Nats per latent dimension that cost nothing", 0, kInfinity);
  visit("output-bias-from-data", t.output_bias_from_data, "Start the decoder's last bias at the data's mean");
  visit("standardize", t.standardize,
        "Gaussian likelihoods: bring each column to mean 0 and deviation 1; results stay in the data's units");
  visit.group("Optimizer");
  visit("optimizer", t.optimizer, "adam, adamw or sgd");
  visit("lr", t.schedule.rate, "Learning rate", 0, kInfinity);
  visit("schedule", t.schedule.kind, "constant, cosine, step or pieces");
  visit("lr-final", t.schedule.final_rate, "cosine: the rate at the end", 0, kInfinity);
  visit("lr-warmup", t.schedule.warmup_epochs, "cosine: epochs over which the rate grows from 0", 0, kInfinity);
  visit("lr-decay", t.schedule.decay, "step: the factor", 0, kInfinity);
  visit("lr-every", t.schedule.every_epochs, "step: the epochs between factors", 0, kInfinity);
  visit("lr-pieces", t.schedule.pieces, "pieces: epochs at a rate, like 1:1e-3,3:7e-4");
  visit("beta1", t.beta1, "Adam's decay of the mean, or SGD's momentum", 0, 1);
  visit("beta2", t.beta2, "Adam's decay of the square", 0, 1);
  visit("epsilon", t.epsilon, "Adam's epsilon", 0, kInfinity);
  visit("weight-decay", t.weight_decay, "Decoupled with adamw, else an L2 penalty", 0, kInfinity);
  visit("clip-norm", t.clip_norm, "Largest norm of the gradient; 0: any", 0, kInfinity);
  visit("ema", t.ema_decay, "Decay of averaged weights, used for evaluation; 0: none", 0, 1);
  visit.group("Run");
  visit("seed", t.seed, "Names all random numbers of the run", 0, kInfinity);
  visit("epochs", t.epochs, "Passes over the data", 1, kMaxCount);
  visit("batch", t.batch, "Examples per step", 1, kMaxCount);
  visit("validation", t.validation, "Share of the examples held out, in [0, 1)", 0, 1);
  visit("patience", t.patience, "Stop after this many epochs without a better validation ELBO, of bounds too; 0: never",
        0, kMaxCount);
  visit("log-every", t.log_every, "Steps between reports; 0: at the end of an epoch", 0, kMaxCount);
  visit("checkpoint-every", t.checkpoint_every, "Epochs between checkpoints", 1, kMaxCount);
  visit("max-skipped", t.max_skipped, "Steps in a row without a finite loss that end the run", 1, kMaxCount);
}

// The shortest text that reads back as the same number.
template <class Number>
requires std::is_arithmetic_v<Number> std::string text_of(Number value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

template <class Enum>
requires std::is_enum_v<Enum> std::string text_of(Enum value) { return std::string(to_string(value)); }

// No hidden layers are written as a width of 0, since a flag needs a value.
std::vector<Index> widths_or_zero(const std::vector<Index>& widths) {
  return widths.empty() ? std::vector<Index>{0} : widths;
}

Json json_of(bool value) { return value; }
Json json_of(std::integral auto value) { return value; }
Json json_of(double value) { return value; }
Json json_of(float value) { return Json::parse(text_of(value)); }  // 0.9, not 0.8999999761581421
Json json_of(const std::vector<Index>& widths) { return widths_or_zero(widths); }
template <class Enum>
requires std::is_enum_v<Enum> Json json_of(Enum value) { return text_of(value); }
Json json_of(const Pieces& pieces) {
  Json list = Json::array();
  for (const auto& [epochs, rate] : pieces) list.push_back(text_of(epochs) + ":" + text_of(rate));
  return list;
}

struct JsonWriter {
  Json& object;
  void group(const char*) {}
  template <class Value>
  void operator()(const char* name, const Value& value, const char*, double = 0, double = 0) {
    object[name] = json_of(value);
  }
};

class FlagAdder {
 public:
  explicit FlagAdder(CLI::App& app) : app_(app) {}
  void group(const char* name) { group_ = name; }

  template <class Number>
  requires std::is_arithmetic_v<Number>
  void operator()(const char* name, Number& value, const char* help, double low, double high) {
    add(app_.add_option(flag(name), value, help), std::is_integral_v<Number> ? "N" : "X", text_of(value))
        ->check(within(low, high));
  }
  void operator()(const char* name, bool& value, const char* help) {
    app_.add_flag(flag(name), value, help)->group(group_);
  }
  void operator()(const char* name, std::vector<Index>& widths, const char* help, double low, double high) {
    add(app_.add_option(flag(name), widths, help), "N", widths.empty() ? "" : CLI::detail::join(widths, " "))
        ->check(within(low, high));
  }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void operator()(const char* name, Enum& value, const char* help) {
    const auto set = [&value, option = flag(name)](const std::string& text) {
      try {
        value = parse<Enum>(text);
      } catch (const Error& error) {
        throw CLI::ValidationError(option, error.what());
      }
    };
    add(app_.add_option_function<std::string>(flag(name), set, help), "NAME", text_of(value));
  }
  void operator()(const char* name, Pieces& pieces, const char* help) {
    const auto set = [&pieces, option = flag(name)](const std::vector<std::string>& texts) {
      pieces.clear();
      for (const std::string& text : texts) {
        const std::size_t colon = text.find(':');
        auto& [epochs, rate] = pieces.emplace_back();
        if (colon == text.npos || !CLI::detail::lexical_cast(text.substr(0, colon), epochs) ||
            !CLI::detail::lexical_cast(text.substr(colon + 1), rate))
          throw CLI::ValidationError(option, "'" + text + "' is not EPOCHS:RATE");
      }
    };
    add(app_.add_option_function<std::vector<std::string>>(flag(name), set, help), "EPOCHS:RATE", "")->delimiter(',');
  }

 private:
  static std::string flag(const char* name) { return std::string("--") + name; }
  CLI::Option* add(CLI::Option* option, const char* type, const std::string& value) {
    return option->type_name(type)->default_str(value)->group(group_);
  }

  CLI::App& app_;
  std::string group_;
};

}  // namespace

void add_settings(CLI::App& app, Settings& s) {
  app.add_option("--data", s.data, kDataHelp)->type_name("PATH");
  app.add_option("--hidden", s.hidden, "Hidden widths of the encoder, and in reverse of the decoder")
      ->type_name("N")
      ->check(within(0, kMaxCount))
      ->group("Model");
  FlagAdder add(app);
  visit_model(s.model, add);
  visit_training(s.training, add);
  app.get_option("--binarize")->default_str("");
  s.DeviceArguments::add_to(app);
  app.add_option("--data-memory", s.data_memory,
                 "MiB of a GPU's memory for the data; larger data is streamed; 0: what is free")
      ->type_name("N")
      ->default_str("0")
      ->check(within(0, kMaxCount))
      ->group("Device");
}

void resolve(const CLI::App& app, Settings& s) {
  if (app.count("--hidden") > 0 && app.count("--encoder-hidden") == 0) s.model.encoder_hidden = s.hidden;
  if (app.count("--hidden") > 0 && app.count("--decoder-hidden") == 0)
    s.model.decoder_hidden.assign(s.hidden.rbegin(), s.hidden.rend());
  for (auto* widths : {&s.model.encoder_hidden, &s.model.decoder_hidden})
    if (*widths == std::vector<Index>{0}) widths->clear();
  if (app.count("--binarize") == 0)
    s.training.binarize = s.model.likelihood == Likelihood::bernoulli ? Binarize::stochastic : Binarize::none;
  s.model.validate();
  s.training.validate();
  validate(s.model, s.training);
}

Json settings_json(const VaeConfig& model) {
  Json object;
  visit_model(model, JsonWriter{object});
  return object;
}

Json settings_json(const TrainConfig& training) {
  Json object;
  visit_training(training, JsonWriter{object});
  return object;
}

Json settings_json(const Settings& s) {
  Json object = {{"data", path_to_json(s.data)},
                 {"device", s.device},
                 {"threads", s.threads},
                 {"precision", text_of(s.precision)},
                 {"data-memory", s.data_memory}};
  object.update(settings_json(s.model));
  object.update(settings_json(s.training));
  return object;
}

}  // namespace cuvae::cli

#include "cli/arguments/settings.h"

#include <cmath>
#include <concepts>
#include <type_traits>

#include "cli/arguments/setting_list.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::ordered_json;
using Pieces = std::vector<std::pair<double, double>>;

constexpr Index kPriorComponents = 500;  // as Tomczak and Welling 2018

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

template <class Asked, class Value>
Json json_of(const MissingSetting<Asked, Value>& missing) {
  return missing.value ? text_of(*missing.value) : kOnlyNaN;
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
  template <class Asked, class Value>
  void operator()(const char* name, const MissingSetting<Asked, Value>& missing, const char*) {
    if (all || missing.asked) object[name] = json_of(missing);
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
  void operator()(const char* name, bool& value, const char* help, Range = {}, const char* = nullptr) {
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
  void operator()(const char*, const MissingSetting<bool, std::optional<float>>& missing, const char* help) {
    add_missing(app_, help, [missing](std::optional<float> value) { missing.asked = true, missing.value = value; })
        ->expected(0, 1)
        ->type_name("[VALUE]")
        ->group(group_);
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
  app.add_option(
         "--condition", s.condition,
         "Train p(x|z, c): labels, those of the data as one-hot columns; or a file with a row for each example, "
         "a vector of labels or columns of numbers (default: none)")
      ->type_name("FILE")
      ->group("Model");
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
  if (!s.condition.empty()) object["condition"] = path_to_json(s.condition);
  Settings named = s;
  named.training.objective = objective_of(s.training);
  visit_all(named, JsonWriter{object});
  return object;
}

}  // namespace cuvae::cli

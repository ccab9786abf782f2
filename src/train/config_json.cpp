#include "train/config_json.h"

#include <algorithm>
#include <cmath>

#include "cuvae/error.h"
#include "io/json_text.h"

namespace cuvae {
namespace {

using nlohmann::json;

// One list of keys for both directions: a writer and a reader have the same call.
struct Writer {
  json& j;
  template <class T>
  void operator()(const char* key, const T& value, bool = true) const {
    if constexpr (std::is_enum_v<T>) {
      j[key] = std::string(to_string(value));
    } else {
      j[key] = value;
    }
  }
};

struct Reader {
  const json& j;
  template <class T>
  void operator()(const char* key, T& value, bool required = true) const {
    const auto it = j.find(key);
    if (it == j.end() && !required) return;
    if (it == j.end()) throw Error(std::string("configuration: '") + key + "' is missing");
    bool taken = false;
    if constexpr (std::is_enum_v<T>) {
      taken = it->is_string();
      if (taken) value = parse<T>(it->get_ref<const std::string&>());
    } else {
      taken = get_exactly(*it, value);
    }
    if (!taken) throw Error(std::string("configuration: '") + key + "' cannot be " + short_text(*it));
  }
};

template <class Visit, class Config>
void visit_vae(const Visit& v, Config& c) {
  v("data_dim", c.data_dim);
  v("latent", c.latent);
  v("encoder_hidden", c.encoder_hidden);
  v("decoder_hidden", c.decoder_hidden);
  v("activation", c.activation);
  v("likelihood", c.likelihood);
  v("scale", c.scale);
  v("initialization", c.initialization);
  v("image_height", c.image_height);
  v("image_width", c.image_width);
  v("image_channels", c.image_channels, false);  // missing in older checkpoints, like the next three
  v("image_channels_first", c.image_channels_first, false);
  v("image_black", c.image_black, false);
  v("image_white", c.image_white, false);
}

// Only written where there is another prior, or more than one latent layer.
template <class Visit, class Config>
void visit_prior(const Visit& v, Config& c) {
  v("prior", c.prior, false);
  v("prior_components", c.prior_components, false);
}

// Only written where there are conditions.
template <class Visit, class Config>
void visit_condition(const Visit& v, Config& c) {
  v("condition", c.condition, false);
  v("condition_dim", c.condition_dim, false);
}

template <class Visit, class Layer>
void visit_layer(const Visit& v, Layer& c) {
  v("latent", c.latent);
  v("encoder_hidden", c.encoder_hidden);
  v("decoder_hidden", c.decoder_hidden);
}

template <class Visit, class Config>
void visit_train(const Visit& v, Config& c) {
  v("seed", c.seed);
  v("batch", c.batch);
  v("samples", c.samples);
  v("epochs", c.epochs);
  v("estimator", c.estimator, false);  // missing in older checkpoints, like the next two
  v("cost", c.cost, false);
  v("antithetic", c.antithetic, false);
  v("binarize", c.binarize);
  v("pixel_scale", c.pixel_scale, false);
  v("beta", c.beta);
  v("kl_warmup_epochs", c.kl_warmup_epochs);
  v("free_bits", c.free_bits);
  v("optimizer", c.optimizer);
  v("schedule", c.schedule.kind);
  v("rate", c.schedule.rate);
  v("final_rate", c.schedule.final_rate);
  v("warmup_epochs", c.schedule.warmup_epochs);
  v("decay", c.schedule.decay);
  v("every_epochs", c.schedule.every_epochs);
  v("pieces", c.schedule.pieces);
  v("schedule_epochs", c.schedule.epochs, false);  // missing in older checkpoints: the whole run
  v("beta1", c.beta1);
  v("beta2", c.beta2);
  v("epsilon", c.epsilon);
  v("weight_decay", c.weight_decay);
  v("clip_norm", c.clip_norm);
  v("ema_decay", c.ema_decay);
  v("output_bias_from_data", c.output_bias_from_data);
  v("standardize", c.standardize, false);  // missing in older checkpoints
  v("validation", c.validation);
  v("patience", c.patience);
  v("log_every", c.log_every);
  v("checkpoint_every", c.checkpoint_every);
  v("max_skipped", c.max_skipped);
}

// Always read, and only written where it is not the default.
template <class Visit, class Config>
void visit_optional(const Visit& v, Config& c) {
  constexpr bool all = std::is_same_v<Visit, Reader>;
  if (all || c.objective != Objective::variational) v("objective", c.objective, false);
  if (all || c.bounds != 1) v("bounds", c.bounds, false);
  if (all || c.objective == Objective::ciwae) v("elbo_share", c.elbo_share, false);
  if (all || c.sleep_share != 0) v("sleep_share", c.sleep_share, false);
  if (all || c.clip_value != 0) v("clip_value", c.clip_value, false);
}

void require_object(const json& j) {
  if (!j.is_object()) throw Error("configuration: not a JSON object");
}

}  // namespace

json to_json(const VaeConfig& config) {
  json j;
  visit_vae(Writer{j}, config);
  if (config.prior != Prior::standard) visit_prior(Writer{j}, config);
  if (config.has_bernoulli_latents()) Writer{j}("latent_kind", config.latent_kind);
  if (config.ladder) Writer{j}("ladder", config.ladder);
  if (config.is_conditional()) visit_condition(Writer{j}, config);
  if (config.missing_values) Writer{j}("missing_values", config.missing_values);
  if (config.missing_value) Writer{j}("missing_value", *config.missing_value);
  for (const LayerConfig& layer : config.above) visit_layer(Writer{j["above"].emplace_back()}, layer);
  return j;
}

json to_json(const TrainConfig& config) {
  json j;
  visit_train(Writer{j}, config);
  visit_optional(Writer{j}, config);
  return j;
}

VaeConfig vae_config_from_json(const json& j) {
  require_object(j);
  VaeConfig c;
  visit_vae(Reader{j}, c);
  visit_prior(Reader{j}, c);
  Reader{j}("latent_kind", c.latent_kind, false);
  Reader{j}("ladder", c.ladder, false);
  visit_condition(Reader{j}, c);
  Reader{j}("missing_values", c.missing_values, false);
  if (j.contains("missing_value")) Reader{j}("missing_value", c.missing_value.emplace());
  if (const auto above = j.find("above"); above != j.end()) {
    if (!above->is_array()) throw Error("configuration: 'above' cannot be " + short_text(*above));
    for (const json& layer : *above) {
      require_object(layer);
      visit_layer(Reader{layer}, c.above.emplace_back());
    }
  }
  // An initial learned scale outside its clamp is refused now. Older versions moved it to the clamp.
  if (is_scale_learned(c.likelihood)) c.scale = std::clamp(c.scale, std::exp(kLogScaleMin), std::exp(kLogScaleMax));
  c.validate();
  return c;
}

TrainConfig train_config_from_json(const json& j) {
  require_object(j);
  TrainConfig c;
  visit_train(Reader{j}, c);
  visit_optional(Reader{j}, c);
  c.validate();
  return c;
}

}  // namespace cuvae

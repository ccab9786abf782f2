#include "cuvae/vae.h"

#include <algorithm>
#include <cmath>

#include "io/text.h"
#include "math/likelihoods.h"
#include "model/initialization.h"
#include "ops/check.h"

namespace cuvae {

void VaeConfig::validate() const {
  const auto in_range = [](const char* name, Index value) {
    if (value < 1 || value > 1 << 24)
      throw Error(std::string("model: ") + name + " is " + std::to_string(value) + " but must be 1 to 16777216");
  };
  in_range("data_dim", data_dim);
  const auto widths_in_range = [&](Index width_of_z, const std::vector<Index>& encoder,
                                   const std::vector<Index>& decoder) {
    in_range("latent", width_of_z);
    for (Index width : encoder) in_range("a hidden width of the encoder", width);
    for (Index width : decoder) in_range("a hidden width of the decoder", width);
    if (encoder.size() > 64 || decoder.size() > 64) throw Error("model: more than 64 hidden layers");
  };
  widths_in_range(latent, encoder_hidden, decoder_hidden);
  for (const LayerConfig& layer : above) widths_in_range(layer.latent, layer.encoder_hidden, layer.decoder_hidden);
  if (above.size() > 63)
    throw Error("model: " + std::to_string(above.size() + 1) + " latent layers but at most 64 are possible");
  const Index least_components = prior == Prior::standard ? 0 : 1, most_components = least_components * 65536;
  if (prior_components < least_components || prior_components > most_components)
    throw Error("model: prior_components is " + std::to_string(prior_components) + " but must be " +
                (prior == Prior::standard ? "0" : "1 to 65536") + " with the prior " + std::string(to_string(prior)));
  if (has_bernoulli_latents() && prior != Prior::standard)
    throw Error("model: the prior is " + std::string(to_string(prior)) +
                " but must be standard with Bernoulli latents");
  if (ladder && (above.empty() || has_bernoulli_latents()))
    throw Error(std::string("model: ladder is true but must be false with ") +
                (above.empty() ? "one latent layer" : "Bernoulli latents"));
  const Index least_columns = is_conditional() ? 1 : 0, most_columns = least_columns * 65536;
  if (condition_dim < least_columns || condition_dim > most_columns)
    throw Error("model: condition_dim is " + std::to_string(condition_dim) + " but must be " +
                (is_conditional() ? "1 to 65536" : "0") + " with the condition " + std::string(to_string(condition)));
  const bool learned = is_scale_learned(likelihood);
  const float least = learned ? std::exp(kLogScaleMin) : kScaleMin, most = learned ? std::exp(kLogScaleMax) : kScaleMax;
  if (!(scale >= least && scale <= most))
    throw Error("model: scale is " + number(scale) + " but " + (learned ? "a learned one must start" : "must be") +
                " within " + number(least) + " to " + number(most));
  const auto divides = [](Index side, Index size) { return side >= 1 && side <= size && size % side == 0; };
  if ((image_channels != 1 && image_channels != 3) || !divides(image_channels, data_dim) ||
      !divides(image_height, data_dim / image_channels) || data_dim / image_channels / image_height != image_width)
    throw Error("model: pictures of " + std::to_string(image_height) + " x " + std::to_string(image_width) + " with " +
                std::to_string(image_channels) + " channels do not make data_dim " + std::to_string(data_dim));
  if (missing_value && !(missing_values && std::isfinite(*missing_value)))
    throw Error("model: missing_value is " + number(*missing_value) + " but must be " +
                (missing_values ? "finite" : "absent where missing_values is false"));
  if (!(image_black < image_white) || !std::isfinite(image_white - image_black))
    throw Error("model: image_black is " + number(image_black) + " but must be below image_white, " +
                number(image_white));
}

namespace {

const VaeConfig& validated(const VaeConfig& config) {
  config.validate();
  return config;
}

std::vector<Index> widths(Index in, const std::vector<Index>& hidden, Index out) {
  std::vector<Index> w{in};
  w.insert(w.end(), hidden.begin(), hidden.end());
  w.push_back(out);
  return w;
}

std::optional<Parameter> log_scale_of(const VaeConfig& c, ParameterLayout& layout) {
  switch (traits(c.likelihood).scale) {
    case ScaleKind::none:
    case ScaleKind::fixed:
    case ScaleKind::output:
      break;
    case ScaleKind::learned:
      return layout.add_vector("log_scale", 1);
    case ScaleKind::learned_per_dim:
      return layout.add_vector("log_scale", c.data_dim);
  }
  return std::nullopt;
}

// Layer t, whose encoder reads `in` values and whose decoder writes `out`. Those of the first also read the conditions.
LatentLayer make_layer(const VaeConfig& model, const LayerConfig& c, std::size_t t, Index in, Index out,
                       ParameterLayout& layout) {
  const std::string number = t == 0 ? "" : std::to_string(t + 1);
  const Index more = t == 0 ? model.condition_dim : 0;
  Mlp encoder("encoder" + number, widths(in + more, c.encoder_hidden, model.statistics(c.latent)), model.activation,
              layout);
  Mlp decoder("decoder" + number, widths(c.latent + more, c.decoder_hidden, out), model.activation, layout);
  return {c.latent, std::move(encoder), std::move(decoder)};
}

}  // namespace

Networks::Networks(const VaeConfig& c, ParameterLayout& layout) {
  layers.push_back(make_layer(c, {c.latent, c.encoder_hidden, c.decoder_hidden}, 0, c.data_dim, c.outputs(), layout));
  log_scale = log_scale_of(c, layout);
  for (const LayerConfig& layer : c.above) {
    const Index below = layers.back().latent;
    layers.push_back(make_layer(c, layer, layers.size(), below, c.statistics(below), layout));
  }
  switch (c.prior) {
    case Prior::standard:
      if (c.has_bernoulli_latents()) logits = layout.add_vector("prior.logits", layers.back().latent);
      break;
    case Prior::mixture:
      components = layout.add("prior.components", c.prior_components, 2 * layers.back().latent);
      logits = layout.add_vector("prior.logits", c.prior_components);
      break;
    case Prior::vampprior:
      pseudo_inputs = layout.add("prior.pseudo_inputs", c.prior_components, layers.back().encoder.in());
  }
}

ParameterLayout parameter_layout(const VaeConfig& config) {
  ParameterLayout layout;
  (void)Networks(config, layout);
  return layout;
}

Vae::Vae(Backend& backend, const VaeConfig& config, std::uint64_t seed)
    : backend_(&backend), config_(validated(config)), networks_(config, layout_) {
  const float log_scale = std::log(config.scale);

  std::vector<float> host(static_cast<std::size_t>(layout_.size()), 0.0f);
  for (const LatentLayer& layer : layers())
    for (const Mlp* mlp : {&layer.encoder, &layer.decoder})
      draw_weights(*mlp, config.initialization, seed, InitialNetwork::vae, host);
  if (const auto& p = networks_.log_scale) std::fill_n(host.begin() + p->offset, p->size(), log_scale);
  if (const auto& p = networks_.components) draw_normals(*p, layers().back().latent, seed, host);
  if (const auto& p = networks_.pseudo_inputs) {
    if (traits(config.likelihood).unit_interval && config.above.empty())
      draw_uniforms(*p, seed, host);
    else
      draw_normals(*p, p->cols, seed, host);
  }
  if (traits(config.likelihood).scale == ScaleKind::output)
    std::fill_n(host.begin() + decoder().biases().back().offset + config.data_dim, config.data_dim, log_scale);

  params_ = backend.allocate(host.size() * sizeof(float));
  backend.upload(params_.data(), host.data(), host.size() * sizeof(float));
  if (backend.activation_type() == DType::bf16) rounded_ = backend.allocate(host.size() * size_of(DType::bf16));
  refresh_weights();
  fixed_log_scale_ = backend.allocate(sizeof log_scale);
  backend.upload(fixed_log_scale_.data(), &log_scale, sizeof log_scale);
}

void Vae::refresh_weights() {
  if (rounded_)
    backend_->run(RoundToBf16{params_.view(1, layout_.size()), rounded_.view(1, layout_.size(), DType::bf16)});
}

void Vae::set_standardization(Standardization s) {
  const auto columns = [&](const std::vector<double>& v) { return v.empty() ? 0 : static_cast<Index>(v.size()); };
  if (s && traits(config_.likelihood).unit_interval)
    throw Error("standardization: a " + std::string(to_string(config_.likelihood)) +
                " likelihood takes values of 0 to 1 as they are");
  if (columns(s.mean) != columns(s.scale) || (s && columns(s.scale) != config_.data_dim))
    throw Error("standardization: mean has " + std::to_string(columns(s.mean)) + " columns and scale " +
                std::to_string(columns(s.scale)) + " but the model's data_dim is " + std::to_string(config_.data_dim));
  if (!s.observed.empty() && columns(s.observed) != columns(s.scale))
    throw Error("standardization: observed has " + std::to_string(columns(s.observed)) + " columns but scale has " +
                std::to_string(columns(s.scale)));
  for (std::size_t d = 0; d < s.scale.size(); ++d)
    if (!std::isfinite(s.mean[d]) || !std::isfinite(s.scale[d]) || !(s.scale[d] > 0))
      throw Error("standardization: column " + std::to_string(d) + " has mean " + number(s.mean[d]) + " and scale " +
                  number(s.scale[d]) + " but must have finite ones, the scale positive");
  for (std::size_t d = 0; d < s.observed.size(); ++d)
    if (!(s.observed[d] > 0 && s.observed[d] <= 1))
      throw Error("standardization: of column " + std::to_string(d) + " a share of " + number(s.observed[d]) +
                  " is observed but must be above 0 and at most 1");
  standardization_ = std::move(s);
}

void Vae::set_output_bias(const std::vector<float>& mean) {
  const Parameter& bias = decoder().biases().back();
  const auto dim = static_cast<std::size_t>(config_.data_dim);
  if (mean.size() != dim)
    throw Error("set_output_bias: mean has " + std::to_string(mean.size()) + " values but the model's data_dim is " +
                std::to_string(dim));
  std::vector<float> own = mean, host(static_cast<std::size_t>(bias.size()));
  standardization_.apply(own);
  math::with_likelihood(config_.likelihood, [&]<class Formula>() {
    for (std::size_t d = 0; d < dim; ++d) {
      float outputs[Formula::outputs];
      Formula::start(own[d], config_.scale, outputs);
      for (std::size_t i = 0; i < Formula::outputs; ++i) host[i * dim + d] = outputs[i];
    }
  });
  backend_->upload(params() + bias.offset, host.data(), host.size() * sizeof(float));
  refresh_weights();
}

ConstView Vae::log_scale() const {
  return networks_.log_scale ? own(*networks_.log_scale) : fixed_log_scale_.view(1, 1);
}

ConstView Vae::own(const Parameter& p) const { return {params() + p.offset, p.rows, p.cols}; }

}  // namespace cuvae

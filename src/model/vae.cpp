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
  in_range("latent", latent);
  for (Index width : encoder_hidden) in_range("a hidden width of the encoder", width);
  for (Index width : decoder_hidden) in_range("a hidden width of the decoder", width);
  if (encoder_hidden.size() > 64 || decoder_hidden.size() > 64) throw Error("model: more than 64 hidden layers");
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

Mlp encoder_of(const VaeConfig& c, ParameterLayout& layout) {
  return {"encoder", widths(c.data_dim, c.encoder_hidden, 2 * c.latent), c.activation, layout};
}
Mlp decoder_of(const VaeConfig& c, ParameterLayout& layout) {
  return {"decoder", widths(c.latent, c.decoder_hidden, c.outputs()), c.activation, layout};
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

}  // namespace

ParameterLayout parameter_layout(const VaeConfig& config) {
  ParameterLayout layout;
  encoder_of(config, layout);
  decoder_of(config, layout);
  log_scale_of(config, layout);
  return layout;
}

Vae::Vae(Backend& backend, const VaeConfig& config, std::uint64_t seed)
    : backend_(&backend),
      config_(validated(config)),
      encoder_(encoder_of(config, layout_)),
      decoder_(decoder_of(config, layout_)),
      log_scale_(log_scale_of(config, layout_)) {
  const float log_scale = std::log(config.scale);

  std::vector<float> host(static_cast<std::size_t>(layout_.size()), 0.0f);
  for (const Mlp* mlp : {&encoder_, &decoder_})
    draw_weights(*mlp, config.initialization, seed, InitialNetwork::vae, host);
  if (log_scale_) std::fill_n(host.begin() + log_scale_->offset, log_scale_->size(), log_scale);
  if (traits(config.likelihood).scale == ScaleKind::output)
    std::fill_n(host.begin() + decoder_.biases().back().offset + config.data_dim, config.data_dim, log_scale);

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
  for (std::size_t d = 0; d < s.scale.size(); ++d)
    if (!std::isfinite(s.mean[d]) || !std::isfinite(s.scale[d]) || !(s.scale[d] > 0))
      throw Error("standardization: column " + std::to_string(d) + " has mean " + number(s.mean[d]) + " and scale " +
                  number(s.scale[d]) + " but must have finite ones, the scale positive");
  standardization_ = std::move(s);
}

void Vae::set_output_bias(const std::vector<float>& mean) {
  const Parameter& bias = decoder_.biases().back();
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

VaeActivations Vae::allocate(Index batch, Index samples) const {
  const auto floats = [&](Index n) { return backend_->allocate(static_cast<std::size_t>(n) * sizeof(float)); };
  const Index rows = batch * samples;
  const DType type = backend_->activation_type();
  return {batch,
          samples,
          encoder_.allocate(*backend_, batch, DType::f32),
          decoder_.allocate(*backend_, rows, type),
          backend_->allocate(static_cast<std::size_t>(rows * config_.latent) * size_of(type)),
          floats(batch),
          floats(config_.latent),
          floats(rows),
          {},
          {},
          {}};
}

VaeActivations Vae::allocate_with_log_densities(Index batch, Index samples) const {
  VaeActivations a = allocate(batch, samples);
  a.log_p_z = backend_->allocate(static_cast<std::size_t>(batch * samples) * sizeof(float));
  a.log_q = backend_->allocate(static_cast<std::size_t>(batch * samples) * sizeof(float));
  return a;
}

VaeGradients Vae::allocate_gradients(Index batch, Index samples) const {
  const auto bytes = [](Index n, DType type) { return static_cast<std::size_t>(n) * size_of(type); };
  const DType type = backend_->activation_type();
  const Index rows = batch * samples;
  const std::size_t scratch = bytes(std::max(batch * encoder_.widest_hidden(), rows * decoder_.widest_hidden()), type);
  return {{backend_->allocate(scratch), backend_->allocate(scratch)},
          backend_->allocate(bytes(rows * config_.latent, DType::f32)),
          backend_->allocate(bytes(batch * 2 * config_.latent, type))};
}

ConstView Vae::log_scale() const {
  if (!log_scale_) return fixed_log_scale_.view(1, 1);
  return ConstView{params() + log_scale_->offset, log_scale_->rows, log_scale_->cols};
}

namespace {
void check_room(const char* op, const char* name, ConstView v, Index rows) {
  if (v.rows > rows)
    throw Error(std::string(op) + ": " + name + " is " + shape(v) + " but the activations were made for " +
                std::to_string(rows) + " rows");
}
}  // namespace

View Vae::encode(ConstView x, const VaeActivations& a) const {
  check_room("encode", "x", x, a.batch);
  return encoder_.forward(*backend_, weights(), x, a.encoder);
}

View Vae::sample_latent(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments) const {
  check_room("sample_latent", "stats", stats, a.batch);
  const View z = a.z.view(stats.rows * a.samples, config_.latent, backend_->activation_type());
  const auto column = [&](const Buffer& b) { return b ? b.view(z.rows, 1) : View{}; };
  backend_->run(SampleGaussian{stats, noise, z, a.kl.view(stats.rows, 1), a.kl_dims.view(1, config_.latent), moments,
                               column(a.log_p_z), column(a.log_q), column(a.score_norm)});
  return z;
}

View Vae::decode(ConstView z, const VaeActivations& a) const {
  check_room("decode", "z", z, a.batch * a.samples);
  return decoder_.forward(*backend_, weights(), z, a.decoder);
}

View Vae::log_prob(View output, ConstView x, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                   const ElboLoss& loss) const {
  check_room("log_prob", "output", output, a.batch * a.samples);
  const View log_p = a.log_p.view(output.rows, 1), doutput = grads != nullptr ? output : View{};
  if (!is_scale_shared(config_.likelihood)) {
    backend_->run(LogProb{config_.likelihood, output, x, row_weight, log_p, doutput, loss});
  } else {
    View dlog_scale;
    if (grads != nullptr && log_scale_) dlog_scale = {grads + log_scale_->offset, log_scale_->rows, log_scale_->cols};
    backend_->run(
        GaussianLogProb{output, x, log_scale(), row_weight, log_p, doutput, dlog_scale, loss, log_scale_.has_value()});
  }
  return log_p;
}

void Vae::log_prob(ConstView output, ConstView x, View log_p) const {
  if (!is_scale_shared(config_.likelihood))
    return backend_->run(LogProb{config_.likelihood, output, x, 0.0f, log_p, {}});
  backend_->run(GaussianLogProb{output, x, log_scale(), 0.0f, log_p, {}, {}, {}, log_scale_.has_value()});
}

}  // namespace cuvae

#include "cuvae/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "data/check_data.h"
#include "evaluate/evaluate_rows.h"
#include "evaluate/layer_sums.h"
#include "evaluate/observed.h"
#include "evaluate/row_batches.h"
#include "evaluate/units.h"
#include "math/philox.h"

namespace cuvae {

std::vector<std::uint32_t> all_rows(const Dataset& data) {
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(data.rows()));
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

void check_rows(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows, Binarize binarize) {
  if (vae.standardization() && binarize != Binarize::none)
    throw Error("evaluate: binarize is " + std::string(to_string(binarize)) +
                " but must be none for a model of standardized data");
  check_data_fits(data, vae.config(), binarize);
  for (std::uint32_t row : rows)
    if (row >= data.rows())
      throw Error("evaluate: row is " + std::to_string(row) + " but the data have only " + std::to_string(data.rows()) +
                  " rows");
}

void check_options(const std::vector<std::uint32_t>& rows, Index samples, Index batch, Index samples_at_once) {
  if (samples < 1 || batch < 1)
    throw Error("evaluate: samples is " + std::to_string(samples) + " and batch is " + std::to_string(batch) +
                " but both must be at least 1");
  if (rows.empty()) throw Error("evaluate: no examples");
  if (samples_at_once > 0x7fffffff / std::min<Index>(batch, 0x7fffffff))
    throw Error("evaluate: " + std::to_string(samples_at_once) + " samples in batches of " + std::to_string(batch) +
                " are more than 2147483647 rows");
}

Evaluation evaluate(const Vae& vae, const Dataset& data, const EvaluateOptions& options) {
  return evaluate(vae, data, all_rows(data), options);
}

Evaluation evaluate(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                    const EvaluateOptions& options) {
  check_rows(vae, data, rows, options.binarize);
  return evaluate_rows(vae, ResidentData(vae.backend(), vae.standardization().apply(data)), rows, options);
}

std::vector<float> model_input(const Dataset& data, Index first, Index count, Binarize binarize, std::uint64_t seed) {
  std::vector<float> x;
  for (Index i = first; i < first + count; ++i) {
    const std::vector<float> row = data.row(i);
    x.insert(x.end(), row.begin(), row.end());
  }
  const auto place = static_cast<std::uint64_t>(first * data.cols());
  for (std::size_t i = 0; binarize != Binarize::none && i < x.size(); ++i) {
    if (std::isnan(x[i])) continue;  // missing
    const bool one = binarize == Binarize::threshold
                         ? x[i] >= 0.5F
                         : math::uniform(math::philox_word(seed, static_cast<std::uint32_t>(Stream::binarize),
                                                           kEvaluationStep, place + i)) <= x[i];
    x[i] = one ? 1.0F : 0.0F;
  }
  return x;
}

namespace {

// The KL of each row of a batch: in closed form, or the mean of log q - log p(z) over its samples.
class RowKl {
 public:
  RowKl(Backend& backend, bool closed_form, Index batch, Index samples)
      : backend_(backend), closed_form_(closed_form), samples_(closed_form ? 1 : samples) {
    first_.resize(static_cast<std::size_t>(batch * samples_));
    if (!closed_form) second_.resize(first_.size());
  }
  void read(const VaeActivations& a, Index rows) {
    const std::size_t bytes = static_cast<std::size_t>(rows * samples_) * sizeof(float);
    backend_.download(first_.data(), (closed_form_ ? a.kl : a.log_q).data(), bytes);
    if (!closed_form_) backend_.download(second_.data(), a.log_p_z.data(), bytes);
  }
  double of_row(Index row) const {
    const auto first = static_cast<std::size_t>(row * samples_);
    if (closed_form_) return static_cast<double>(first_[first]);
    double sum = 0;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(samples_); ++i)
      sum += static_cast<double>(first_[i]) - static_cast<double>(second_[i]);
    return sum / static_cast<double>(samples_);
  }

 private:
  Backend& backend_;
  bool closed_form_;
  Index samples_;
  std::vector<float> first_, second_;  // kl, or log q and log p(z)
};

}  // namespace

Evaluation evaluate_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                         const EvaluateOptions& options) {
  check_options(rows, options.samples, options.batch, options.samples);
  Backend& backend = vae.backend();
  const Index count = static_cast<Index>(rows.size()), dim = vae.config().data_dim, latent = vae.config().latent;
  const Index batch = std::min(options.batch, count);

  RowBatches batches(backend, data, rows, batch);
  const Buffer step = backend.allocate(sizeof kEvaluationStep);
  backend.upload(step.data(), &kEvaluationStep, sizeof kEvaluationStep);
  const DType type = backend.activation_type();
  const Buffer x_buffer = backend.allocate(static_cast<std::size_t>(batch * dim) * size_of(type));
  const Buffer moments = backend.allocate(static_cast<std::size_t>(1 + 4 * latent) * sizeof(double));
  const VaeActivations a = vae.allocate(batch, options.samples);

  Evaluation e;
  Index observed_values = 0;
  double log_p_sum = 0, kl_sum = 0, elbo_mean = 0, elbo_squares = 0;  // squared deviations: Welford 1962
  const bool closed_form = vae.config().has_closed_form_kl();
  std::vector<double> kl_dims(closed_form ? static_cast<std::size_t>(latent) : 0);
  std::vector<float> log_p(static_cast<std::size_t>(batch * options.samples)), dims(kl_dims.size());
  RowKl kl(backend, closed_form, batch, options.samples);
  std::optional<LayerSums> layers;
  if (vae.layers().size() > 1) layers.emplace(vae, batch, options.samples);
  for (Index first = 0; first < count; first += batch) {
    const Index n = std::min(batch, count - first);
    const auto noise = [&](Stream s) { return Noise{options.seed, s, step.as<std::uint32_t>(), first}; };
    const View x = x_buffer.view(n, dim, type);
    batches.gather(first, options.binarize, noise(Stream::binarize), x);
    batches.gather(first, vae.conditions(n, a));
    const std::vector<ObservedPart> observed = observed_parts(vae, x);
    const View stats = vae.encode(x, a);
    const View z = vae.sample_latents(stats, noise(Stream::latent), a, moments.as<double>());
    const View log_px = vae.log_prob(vae.decode(z, a), x, a);
    backend.download(log_p.data(), log_px.data, static_cast<std::size_t>(log_px.rows) * sizeof(float));
    kl.read(a, n);
    if (closed_form) backend.download(dims.data(), a.kl_dims.data(), dims.size() * sizeof(float));
    for (Index b = 0; b < n; ++b) {
      double reconstruction = 0;
      for (Index k = 0; k < options.samples; ++k)
        reconstruction += static_cast<double>(log_p[static_cast<std::size_t>(b * options.samples + k)]);
      const ObservedPart& part = observed[static_cast<std::size_t>(b)];
      observed_values += part.values;
      reconstruction = reconstruction / static_cast<double>(options.samples) - part.log_volume;  // in the data's units
      const double row_kl = kl.of_row(b);
      log_p_sum += reconstruction;
      kl_sum += row_kl;
      const double elbo = reconstruction - row_kl, deviation = elbo - elbo_mean;
      elbo_mean += deviation / static_cast<double>(first + b + 1);
      elbo_squares += deviation * (elbo - elbo_mean);
      e.elbos.push_back(elbo);
    }
    for (std::size_t l = 0; l < dims.size(); ++l) kl_dims[l] += static_cast<double>(dims[l]) * static_cast<double>(n);
    if (layers) layers->add(n, noise(Stream::latent), step, a);
  }

  const double n = static_cast<double>(count);
  e.examples = count;
  e.reconstruction = log_p_sum / n;
  e.kl = kl_sum / n;
  e.elbo = e.reconstruction - e.kl;
  e.elbo_error = std::sqrt(elbo_squares / (n - 1) / n);  // 0 / 0 for one example
  e.bits_per_dim = -e.elbo / (static_cast<double>(observed_values) / n * std::log(2.0));
  for (double& k : kl_dims) k /= n;
  e.kl_dims = std::move(kl_dims);
  e.active_units = active_units(read_moments(backend, moments, latent), latent);
  e.layers = layers ? layers->results() : std::vector<LayerEvaluation>{{.latent = latent, .kl = e.kl}};
  if (vae.config().first_sampled() == 0)
    e.layers.front().active_units = e.active_units;
  else  // the moments of z_1 are those of its samples' statistics
    e.active_units = e.layers.front().active_units;
  return e;
}

}  // namespace cuvae

#include "cuvae/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "data/check_data.h"
#include "evaluate/evaluate_rows.h"
#include "evaluate/units.h"
#include "math/philox.h"

namespace cuvae {

Evaluation evaluate(const Vae& vae, const Dataset& data, const EvaluateOptions& options) {
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(data.rows()));
  std::iota(rows.begin(), rows.end(), 0u);
  return evaluate(vae, data, rows, options);
}

Evaluation evaluate(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                    const EvaluateOptions& options) {
  if (vae.standardization() && options.binarize != Binarize::none)
    throw Error("evaluate: binarize is " + std::string(to_string(options.binarize)) +
                " but must be none for a model of standardized data");
  check_data_fits(data, vae.config(), options.binarize);
  for (std::uint32_t row : rows)
    if (row >= data.rows())
      throw Error("evaluate: row is " + std::to_string(row) + " but the data have only " + std::to_string(data.rows()) +
                  " rows");
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
    const bool one = binarize == Binarize::threshold
                         ? x[i] >= 0.5F
                         : math::uniform(math::philox_word(seed, static_cast<std::uint32_t>(Stream::binarize),
                                                           kEvaluationStep, place + i)) <= x[i];
    x[i] = one ? 1.0F : 0.0F;
  }
  return x;
}

namespace {

// Batches of the chosen rows, in the given order.
class RowBatches {
 public:
  RowBatches(Backend& backend, const ResidentData& data, const std::vector<std::uint32_t>& rows, Index batch)
      : backend_(backend), data_(data), rows_(rows) {
    if (data.whole()) {
      buffer_ = backend.allocate(rows.size() * sizeof(std::uint32_t));  // the order
      backend.upload(buffer_.data(), rows.data(), buffer_.bytes());
    } else {
      buffer_ = backend.allocate(static_cast<std::size_t>(batch) * data.row_bytes());  // a batch
      host_.resize(buffer_.bytes());
    }
  }
  /// x = rows [first, first + x.rows).
  void gather(Index first, Binarize binarize, const Noise& noise, View x) {
    ConstView pixels = data_.view();
    if (data_.whole()) {
      const auto count = static_cast<Index>(rows_.size());
      return backend_.run(
          GatherBatch{pixels, {buffer_.as<std::uint32_t>(), count, nullptr, first}, binarize, noise, x});
    }
    const std::size_t bytes = data_.row_bytes();
    for (Index b = 0; b < x.rows; ++b)
      std::memcpy(host_.data() + static_cast<std::size_t>(b) * bytes,
                  static_cast<const char*>(pixels.data) + rows_[static_cast<std::size_t>(first + b)] * bytes, bytes);
    backend_.upload(buffer_.data(), host_.data(), static_cast<std::size_t>(x.rows) * bytes);
    pixels.data = buffer_.data();
    pixels.rows = x.rows;
    backend_.run(GatherBatch{pixels, {nullptr, x.rows, nullptr, 0}, binarize, noise, x});
  }

 private:
  Backend& backend_;
  const ResidentData& data_;
  const std::vector<std::uint32_t>& rows_;
  Buffer buffer_;
  std::vector<char> host_;
};

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
  if (options.samples < 1 || options.batch < 1)
    throw Error("evaluate: samples is " + std::to_string(options.samples) + " and batch is " +
                std::to_string(options.batch) + " but both must be at least 1");
  if (rows.empty()) throw Error("evaluate: no examples");
  if (options.samples > 0x7fffffff / std::min<Index>(options.batch, 0x7fffffff))
    throw Error("evaluate: " + std::to_string(options.samples) + " samples in batches of " +
                std::to_string(options.batch) + " are more than 2147483647 rows");
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

  const double log_volume = vae.standardization().log_volume();       // to log-densities in the data's units
  double log_p_sum = 0, kl_sum = 0, elbo_mean = 0, elbo_squares = 0;  // squared deviations: Welford 1962
  const bool closed_form = vae.config().has_closed_form_kl();
  std::vector<double> kl_dims(closed_form ? static_cast<std::size_t>(latent) : 0);
  std::vector<float> log_p(static_cast<std::size_t>(batch * options.samples)), dims(kl_dims.size());
  RowKl kl(backend, closed_form, batch, options.samples);
  for (Index first = 0; first < count; first += batch) {
    const Index n = std::min(batch, count - first);
    const auto noise = [&](Stream s) { return Noise{options.seed, s, step.as<std::uint32_t>(), first}; };
    const View x = x_buffer.view(n, dim, type);
    batches.gather(first, options.binarize, noise(Stream::binarize), x);
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
      reconstruction = reconstruction / static_cast<double>(options.samples) - log_volume;
      const double row_kl = kl.of_row(b);
      log_p_sum += reconstruction;
      kl_sum += row_kl;
      const double elbo = reconstruction - row_kl, deviation = elbo - elbo_mean;
      elbo_mean += deviation / static_cast<double>(first + b + 1);
      elbo_squares += deviation * (elbo - elbo_mean);
    }
    for (std::size_t l = 0; l < dims.size(); ++l) kl_dims[l] += static_cast<double>(dims[l]) * static_cast<double>(n);
  }

  const double n = static_cast<double>(count);
  Evaluation e;
  e.examples = count;
  e.reconstruction = log_p_sum / n;
  e.kl = kl_sum / n;
  e.elbo = e.reconstruction - e.kl;
  e.elbo_error = std::sqrt(elbo_squares / (n - 1) / n);  // 0 / 0 for one example
  e.bits_per_dim = -e.elbo / (static_cast<double>(dim) * std::log(2.0));
  for (double& k : kl_dims) k /= n;
  e.kl_dims = std::move(kl_dims);
  e.active_units = active_units(read_moments(backend, moments, latent), latent);
  return e;
}

}  // namespace cuvae

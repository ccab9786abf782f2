#include "cuvae/exact.h"

#include "evaluate/example_batches.h"
#include "evaluate/observed.h"
#include "evaluate/sums.h"

namespace cuvae {
namespace {

constexpr Index kValues = 1024;  // values of a layer that a network reads at once

double softplus(double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::fabs(v))); }

// log p(z) = sum_l z_l logit_l - softplus(logit_l) of the value of L units whose bits are z_l.
class Units {
 public:
  Units(const float* logits, Index latent) {
    for (Index l = 0; l < latent; ++l) {
      logits_.push_back(static_cast<double>(logits[l]));
      of_zeros_ -= softplus(logits_.back());
    }
  }
  double log_prob(Index z) const {
    double sum = of_zeros_;
    for (std::size_t l = 0; l < logits_.size(); ++l) sum += (z >> l & 1) != 0 ? logits_[l] : 0.0;
    return sum;
  }

 private:
  std::vector<double> logits_;
  double of_zeros_ = 0;
};

// Values z_t, in blocks of rows for the networks.
class Values {
 public:
  Values(Backend& backend, Index latent)
      : backend_(backend),
        latent_(latent),
        rows_(std::min(kValues, Index{1} << latent)),
        host_(backend.allocate(static_cast<std::size_t>(rows_ * latent) * sizeof(float))),
        z_(backend.allocate(static_cast<std::size_t>(rows_ * latent) * size_of(backend.activation_type()))) {}

  Index rows() const { return rows_; }
  // f(first, z [rows, L]) for each block.
  template <class F>
  void for_each(F f) const {
    std::vector<float> bits(static_cast<std::size_t>(rows_ * latent_));
    for (Index first = 0; first < Index{1} << latent_; first += rows_) {
      for (Index i = 0; i < rows_ * latent_; ++i)
        bits[static_cast<std::size_t>(i)] = (first + i / latent_) >> i % latent_ & 1 ? 1.0f : 0.0f;
      backend_.upload(host_.data(), bits.data(), bits.size() * sizeof(float));
      const View z = z_.view(rows_, latent_, backend_.activation_type());
      backend_.run(GatherBatch{.pixels = host_.view(rows_, latent_), .rows = {nullptr, rows_, nullptr, 0}, .x = z});
      f(first, z);
    }
  }

 private:
  Backend& backend_;
  Index latent_, rows_;
  Buffer host_, z_;
};

// What a network makes of all values of its L units, as distributions of units.
std::vector<Units> units_from(const Vae& vae, const Mlp& mlp) {
  const Values values(vae.backend(), mlp.in());
  const MlpActivations a = mlp.allocate(vae.backend(), values.rows(), DType::f32);
  std::vector<float> logits(static_cast<std::size_t>(values.rows() * mlp.out()));
  std::vector<Units> all;
  values.for_each([&](Index, ConstView z) {
    const View y = mlp.forward(vae.backend(), vae.weights(), z, a);
    vae.backend().download(logits.data(), y.data, logits.size() * sizeof(float));
    for (Index r = 0; r < y.rows; ++r) all.emplace_back(logits.data() + r * y.cols, y.cols);
  });
  return all;
}

// Of each value of z_t: log p(z_t), and E log p(z_t, ..., z_T) - log q(z_{t+1}, ..., z_T|z_t) under q.
struct FromAbove {
  std::vector<double> log_p, elbo;
};

FromAbove top_layer(const Vae& vae) {
  const Parameter& p = *vae.networks().logits;
  std::vector<float> logits(static_cast<std::size_t>(p.size()));
  vae.backend().download(logits.data(), vae.params() + p.offset, logits.size() * sizeof(float));
  const Units units(logits.data(), p.size());
  FromAbove top;
  for (Index z = 0; z < Index{1} << p.size(); ++z) top.log_p.push_back(units.log_prob(z));
  top.elbo = top.log_p;
  return top;
}

// The same of layer t from that of layer t + 1.
FromAbove layer_below(const Vae& vae, std::size_t t, const FromAbove& above) {
  const LatentLayer& layer = vae.layers()[t + 1];
  const std::vector<Units> q = units_from(vae, layer.encoder), p = units_from(vae, layer.decoder);
  FromAbove below;
  for (Index z = 0; z < static_cast<Index>(q.size()); ++z) {
    LogSum log_p;
    double elbo = 0;
    for (std::size_t up = 0; up < p.size(); ++up) {
      const double given = p[up].log_prob(z), log_q = q[static_cast<std::size_t>(z)].log_prob(static_cast<Index>(up));
      log_p.add(given + above.log_p[up]);
      elbo += std::exp(log_q) * (given + above.elbo[up] - log_q);
    }
    below.log_p.push_back(log_p.value());
    below.elbo.push_back(elbo);
  }
  return below;
}

// The sums over z_1 of one example.
struct Sums {
  LogSum log_p;
  double elbo = 0, reconstruction = 0;
  void add(double log_p_x, double log_q, double log_p_z, double elbo_above) {
    log_p.add(log_p_x + log_p_z);
    const double q = std::exp(log_q);
    elbo += q * (log_p_x + elbo_above - log_q);
    reconstruction += q * log_p_x;
  }
};

// Row b of x.
ConstView row_of(ConstView x, Index b) {
  const auto* from = static_cast<const char*>(x.data) + static_cast<std::size_t>(b * x.cols) * size_of(x.dtype);
  return {from, 1, x.cols, x.dtype};
}

class ExactBatch {
 public:
  ExactBatch(const Vae& vae, Index batch)
      : vae_(vae),
        latent_(vae.config().latent),
        above_(top_layer(vae)),
        values_(vae.backend(), latent_),
        encoder_(vae.allocate(batch, 1)),
        decoder_(vae.decoder().allocate(vae.backend(), values_.rows(), vae.backend().activation_type())),
        column_(vae.backend().allocate(static_cast<std::size_t>(values_.rows()) * sizeof(float))) {
    for (std::size_t t = vae.layers().size() - 1; t-- > 0;) above_ = layer_below(vae, t, above_);
  }

  std::vector<Sums> sums(ConstView x) const {
    Backend& backend = vae_.backend();
    const View logits = vae_.encode(x, encoder_);
    std::vector<float> host(static_cast<std::size_t>(logits.size())), log_p(static_cast<std::size_t>(values_.rows()));
    backend.download(host.data(), logits.data, host.size() * sizeof(float));
    std::vector<Units> q;
    for (Index b = 0; b < x.rows; ++b) q.emplace_back(host.data() + b * latent_, latent_);
    std::vector<Sums> sums(q.size());
    values_.for_each([&](Index first, ConstView z) {
      const View output = vae_.decoder().forward(backend, vae_.weights(), z, decoder_),
                 column = column_.view(z.rows, 1);
      for (std::size_t b = 0; b < q.size(); ++b) {
        vae_.log_prob(output, row_of(x, static_cast<Index>(b)), column);
        backend.download(log_p.data(), column.data, log_p.size() * sizeof(float));
        for (std::size_t r = 0; r < log_p.size(); ++r) {
          const auto value = static_cast<std::size_t>(first) + r;
          sums[b].add(static_cast<double>(log_p[r]), q[b].log_prob(static_cast<Index>(value)), above_.log_p[value],
                      above_.elbo[value]);
        }
      }
    });
    return sums;
  }

 private:
  const Vae& vae_;
  Index latent_;
  FromAbove above_;
  Values values_;
  VaeActivations encoder_;
  MlpActivations decoder_;
  Buffer column_;
};

void check_model(const Vae& vae) {
  if (!vae.config().has_bernoulli_latents())
    throw Error("evaluate: exact sums need bernoulli latents but those of the model are " +
                std::string(to_string(vae.config().latent_kind)));
  if (vae.config().is_conditional())
    throw Error("evaluate: exact sums need a model without conditions but those of the model are " +
                std::string(to_string(vae.config().condition)));
  Index units = 0;
  for (const LatentLayer& layer : vae.layers()) units += layer.latent;
  if (units > kMostExactUnits)
    throw Error("evaluate: exact sums are possible over at most " + std::to_string(kMostExactUnits) +
                " units but the model has " + std::to_string(units));
}

}  // namespace

ExactEvaluation evaluate_exact(const Vae& vae, const Dataset& data, const ExactOptions& options) {
  return evaluate_exact(vae, data, all_rows(data), options);
}

ExactEvaluation evaluate_exact(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                               const ExactOptions& options) {
  check_model(vae);
  ExampleBatches batches(vae, data, rows, {1, options.batch, options.binarize, options.seed}, 1);
  const ExactBatch exact(vae, batches.batch());
  Index observed_values = 0;
  MeanAndError log_p, elbo, reconstruction, posterior_kl;
  ExactEvaluation e;
  batches.for_each([&](Index, ConstView x) {
    const std::vector<ObservedPart> observed = observed_parts(vae, x);
    const std::vector<Sums> all = exact.sums(x);
    for (std::size_t b = 0; b < all.size(); ++b) {
      const Sums& sums = all[b];
      const double log_volume = observed[b].log_volume;  // to log-densities in the data's units
      observed_values += observed[b].values;
      const ExactExample& of = e.of_examples.emplace_back(
          ExactExample{sums.log_p.value() - log_volume, sums.elbo - log_volume, sums.reconstruction - log_volume});
      log_p.add(of.log_p), elbo.add(of.elbo), reconstruction.add(of.reconstruction);
      posterior_kl.add(of.log_p - of.elbo);
    }
  });
  e.examples = batches.count();
  e.log_p = log_p.mean(), e.elbo = elbo.mean(), e.reconstruction = reconstruction.mean();
  e.kl = e.reconstruction - e.elbo, e.posterior_kl = posterior_kl.mean();
  e.log_p_error = log_p.error(), e.elbo_error = elbo.error(), e.posterior_kl_error = posterior_kl.error();
  e.bits_per_dim = -e.log_p / (static_cast<double>(observed_values) / static_cast<double>(e.examples) * std::log(2.0));
  return e;
}

}  // namespace cuvae

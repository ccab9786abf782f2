#include "study/suites/discrete_exact.h"

#include <cmath>

namespace cuvae::bench {
namespace {

float bit(std::size_t z, Index l) { return static_cast<float>(z >> l & 1); }

// Values of 0 and 1 in the backend's memory, in its type.
void put(Backend& backend, const std::vector<float>& values, View to) {
  const Buffer device = backend.allocate(values.size() * sizeof(float));
  backend.upload(device.data(), values.data(), device.bytes());
  backend.run(GatherBatch{device.view(to.rows, to.cols), {nullptr, to.rows, nullptr, 0}, Binarize::none, {}, to});
}

std::vector<double> get(Backend& backend, ConstView values) {
  std::vector<float> host(static_cast<std::size_t>(values.size()));
  backend.synchronize();
  backend.download(host.data(), values.data, host.size() * sizeof(float));
  return {host.begin(), host.end()};
}

// log p(x, z) of every z.
class Joint {
 public:
  explicit Joint(const Vae& vae) : vae_(vae), count_(Index{1} << vae.config().latent), a_(vae.allocate(1, count_)) {
    Backend& backend = vae.backend();
    std::vector<float> z;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count_); ++i)
      for (Index l = 0; l < vae.config().latent; ++l) z.push_back(bit(i, l));
    const View all = a_.layers[0].z.view(count_, vae.config().latent, backend.activation_type());
    put(backend, z, all);
    output_ = vae.decode(all, a_);
    const Parameter& p = *vae.networks().logits;
    const View log_p = a_.log_p.view(count_, 1);
    backend.run(BernoulliLogProb{.z = all, .logits = {vae.params() + p.offset, p.rows, p.cols}, .log_p = log_p});
    prior_ = get(backend, log_p);
  }
  std::vector<double> of(ConstView x) const {
    std::vector<double> sum = get(vae_.backend(), vae_.log_prob(output_, x, a_));
    for (std::size_t z = 0; z < sum.size(); ++z) sum[z] += prior_[z];
    return sum;
  }

 private:
  const Vae& vae_;
  Index count_;
  VaeActivations a_;
  View output_;
  std::vector<double> prior_;
};

// The logits of one example and their gradients by the encoder's parameters.
class Jacobian {
 public:
  explicit Jacobian(const Vae& vae)
      : vae_(vae),
        slice_(encoder_of(vae.layout())),
        a_(vae.encoder().allocate(vae.backend(), 1, DType::f32)),
        grads_(vae.backend().allocate(static_cast<std::size_t>(vae.layout().size()) * sizeof(float))),
        dy_(vae.backend().allocate(static_cast<std::size_t>(vae.config().latent) * sizeof(float))) {
    for (Buffer& s : scratch_)
      s = vae.backend().allocate(static_cast<std::size_t>(vae.encoder().widest_hidden()) * sizeof(float));
  }
  std::vector<double> logits(ConstView x) {
    return get(vae_.backend(), vae_.encoder().forward(vae_.backend(), vae_.weights(), x, a_));
  }
  /// [L] rows [slice], after logits().
  std::vector<std::vector<float>> rows(ConstView x) {
    Backend& backend = vae_.backend();
    const Index latent = vae_.config().latent;
    const View dy = dy_.view(1, latent, backend.activation_type());
    std::vector<std::vector<float>> rows;
    for (Index l = 0; l < latent; ++l) {
      std::vector<float> unit(static_cast<std::size_t>(latent));
      unit[static_cast<std::size_t>(l)] = 1;
      put(backend, unit, dy);
      vae_.encoder().backward(backend, vae_.weights(), grads_.as<float>(), x, a_, dy, scratch_, {});
      rows.emplace_back(static_cast<std::size_t>(slice_.size));
      backend.synchronize();
      backend.download(rows.back().data(), grads_.as<float>() + slice_.offset, rows.back().size() * sizeof(float));
    }
    return rows;
  }

 private:
  const Vae& vae_;
  Slice slice_;
  MlpActivations a_;
  Buffer grads_, dy_, scratch_[2];
};

// v^T G v.
double quadratic(const std::vector<std::vector<double>>& G, const std::vector<double>& v) {
  double sum = 0;
  for (std::size_t i = 0; i < v.size(); ++i)
    for (std::size_t j = 0; j < v.size(); ++j) sum += v[i] * G[i][j] * v[j];
  return sum;
}

}  // namespace

ExactDiscrete::ExactDiscrete(const Vae& vae, ConstView x) {
  const Index latent = vae.config().latent;
  if (latent > kMostUnits)
    throw Error("discrete: the model has " + std::to_string(latent) + " units but at most " +
                std::to_string(kMostUnits) + " can be enumerated");
  const Joint joint(vae);
  Jacobian jacobian(vae);
  std::vector<double> mean(static_cast<std::size_t>(encoder_of(vae.layout()).size));
  for (Index b = 0; b < x.rows; ++b) {
    const ConstView row{static_cast<const char*>(x.data) + static_cast<std::size_t>(b * x.cols) * size_of(x.dtype), 1,
                        x.cols, x.dtype};
    const std::vector<double> log_p = joint.of(row), logits = jacobian.logits(row);
    const std::vector<std::vector<float>> J = jacobian.rows(row);
    const std::vector<std::vector<double>> G = products(J, J);
    std::vector<double> v(J.size()), cost_score(J.size());
    Example e;
    double square = 0;
    for (std::size_t z = 0; z < log_p.size(); ++z) {
      double log_q = 0;
      for (std::size_t l = 0; l < v.size(); ++l) {
        const double one = bit(z, static_cast<Index>(l)) > 0, s = logits[l];
        log_q -= std::log1p(std::exp(one > 0 ? -s : s));
        v[l] = one - 1 / (1 + std::exp(-s));
      }
      const double q = std::exp(log_q), f = log_p[z] - log_q, norm = quadratic(G, v);
      e.cost += q * f, square += q * f * f;
      e.norm += q * norm, e.cost_norm += q * f * norm, e.cost_square_norm += q * f * f * norm;
      for (std::size_t l = 0; l < v.size(); ++l) cost_score[l] += q * f * v[l];
    }
    e.cost_variance = square - e.cost * e.cost;
    e.squared_mean = quadratic(G, cost_score);
    examples_.push_back(e);
    for (std::size_t l = 0; l < v.size(); ++l)
      for (std::size_t i = 0; i < mean.size(); ++i)
        mean[i] -= cost_score[l] * static_cast<double>(J[l][i]) / static_cast<double>(x.rows);
  }
  gradient_.means.assign(3, {mean.begin(), mean.end()});  // equal groups: the jackknife finds no noise
  gradient_.gram = products(gradient_.means, gradient_.means);
}

std::optional<double> ExactDiscrete::variance(const Variant& variant, Index samples) const {
  if (variant.cost != Cost::elbo || variant.antithetic) return std::nullopt;
  const auto count = static_cast<double>(examples_.size()), K = static_cast<double>(samples);
  double baseline = 0, of_baseline = 0;  // mean and variance of the running mean
  for (const Example& e : examples_) baseline += e.cost / count, of_baseline += e.cost_variance / (K * count * count);
  of_baseline *= (1 - kBaselineDecay) / (1 + kBaselineDecay);
  double sum = 0;
  for (const Example& e : examples_) {
    switch (variant.estimator) {
      case Estimator::score:
        sum += e.less(0) / K;
        break;
      case Estimator::score_mean:
        sum += (e.less(baseline) + of_baseline * e.norm) / K;
        break;
      case Estimator::rloo:
        sum += e.less(e.cost) / K + (e.cost_variance * e.norm + e.squared_mean) / (K * (K - 1));
        break;
      default:
        return std::nullopt;
    }
  }
  return sum / (count * count);
}

}  // namespace cuvae::bench
